import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonWebKey } from 'node:crypto';
import type {
  Algorithm,
  IncomingRequest,
  Profile,
  RefusalCode,
  RoutePolicy,
  ServiceAuthOptions,
  ServiceIdentity,
  SigningFailureCode,
  SubjectProofOptions,
  TargetOptions,
} from 'nestjs-service-auth/core';
import { stoppedStore } from '../support/clocks/clocks.js';

/** The files of this folder as README.md describes them. */

export interface VectorBody {
  readonly base64: string;
  readonly text?: string;
}

export interface Accepted {
  readonly verdict: 'accepted';
  readonly identity: {
    readonly issuer: string;
    readonly audience: string;
    readonly subject: string | null;
    readonly tokenId: string | null;
    readonly keyId: string;
  };
  /** In a file with originators: what is proved of the user. */
  readonly grant?: ProvedGrant | null;
}

export interface ProvedGrant {
  readonly originator: string;
  readonly transaction: string;
  readonly scopes: readonly string[];
  readonly issuedAtSeconds: number;
  readonly expiresAtSeconds: number;
  readonly acr: string | null;
}

export interface Refused {
  readonly verdict: 'refused';
  readonly code: RefusalCode;
  readonly status: number;
}

export interface Vector {
  readonly id: string;
  readonly description: string;
  readonly catalogue?: readonly string[];
  readonly twin?: string;
  readonly after?: readonly string[];
  readonly request: {
    readonly method: string;
    readonly target: string;
    readonly headers: readonly (readonly [name: string, value: string])[];
    readonly body: VectorBody | null;
  };
  readonly token: string | null;
  readonly expected: Accepted | Refused;
}

export interface VectorRoute {
  readonly path: string;
  readonly subjectRequired?: boolean;
  readonly allowedIssuers?: readonly string[];
  /** A proof that the user asked, and what else is asked of it. */
  readonly proof?: {
    readonly maxAgeSeconds?: number;
    readonly scopes?: readonly string[];
    readonly originators?: readonly string[];
    readonly acrs?: readonly string[];
  };
}

export interface VectorFile {
  readonly now: number;
  readonly receiver: {
    readonly issuer: string;
    readonly audiences: readonly string[];
    readonly clockToleranceSeconds: number;
    readonly maxTokenLifetimeSeconds: number;
    readonly publicPathPrefix: string;
    readonly requiredHeaders: readonly string[];
    readonly trustDomain?: string;
    readonly maxGrantLifetimeSeconds?: number;
    readonly originators?: readonly {
      readonly issuer: string;
      readonly subjects: readonly string[];
      readonly scopes: readonly string[] | null;
      /** `null`: those of the trusted issuer of that name. */
      readonly keys: readonly JsonWebKey[] | null;
    }[];
    readonly trustedIssuers: readonly {
      readonly issuer: string;
      readonly profile: Profile;
      readonly subjects: readonly string[] | null;
      readonly subjectProof?: SubjectProofOptions;
      readonly keys: readonly JsonWebKey[];
    }[];
    readonly routes: readonly VectorRoute[];
  };
  readonly vectors: readonly Vector[];
}

export interface KeyVectorFile {
  readonly now: number;
  readonly receiver: {
    readonly issuer: string;
    readonly trustedIssuer: { readonly issuer: string; readonly profile: Profile };
  };
  readonly vectors: readonly (Vector & { readonly jwk: JsonWebKey })[];
}

export interface SigningVector {
  readonly id: string;
  readonly description: string;
  readonly algorithm: Algorithm;
  readonly key: string;
  readonly request: {
    readonly method: string;
    readonly url: string;
    readonly headers: readonly (readonly [name: string, value: string])[];
    readonly body: VectorBody | null;
    readonly subject: string | null;
    readonly grant: string | null;
  };
  readonly expected:
    | {
        readonly verdict: 'signed';
        readonly header: Readonly<Record<string, unknown>>;
        readonly claims: Readonly<Record<string, unknown>>;
        readonly token: string;
      }
    | { readonly verdict: 'refused'; readonly code: SigningFailureCode };
}

export interface SigningVectorFile {
  readonly now: number;
  readonly signer: {
    readonly issuer: string;
    readonly tokenLifetimeSeconds: number;
    readonly signedHeaders: readonly string[];
    readonly trustDomain: string;
    readonly targets: readonly TargetOptions[];
  };
  readonly vectors: readonly SigningVector[];
}

export interface PublishedVectorFile {
  readonly vectors: readonly {
    readonly source: string;
    readonly algorithm: string;
    readonly jwk: JsonWebKey | null;
    readonly token: string;
    readonly expected: 'verifies' | RefusalCode;
  }[];
}

/** Reads a file of this folder; the type is what README.md says of it. */
export function readVectors<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, `${name}.json`), 'utf8')) as T;
}

/** The files whose requests are sent to a receiver, one receiver for each. */
export const REQUEST_FILES = [
  'syntax',
  'header',
  'claims',
  'binding',
  'gateway',
  'original',
  'algorithms',
  'grants',
].map((name) => ({ name, file: readVectors<VectorFile>(name) }));

/** What a service of this library is configured with to be the receiver of a file. */
export function optionsFor({ receiver, now }: VectorFile): ServiceAuthOptions {
  const { issuer, audiences, trustedIssuers } = receiver;
  const { clockToleranceSeconds, maxTokenLifetimeSeconds } = receiver;
  const { publicPathPrefix, requiredHeaders } = receiver;
  const { trustDomain, originators, maxGrantLifetimeSeconds } = receiver;
  return {
    issuer,
    audience: audiences,
    trustedIssuers: trustedIssuers.map(({ subjects, ...trusted }) => ({
      ...trusted,
      ...(subjects && { subjects }),
    })),
    clockToleranceSeconds,
    maxTokenLifetimeSeconds,
    publicPathPrefix,
    requiredHeaders,
    ...(trustDomain !== undefined && { trustDomain }),
    ...(maxGrantLifetimeSeconds !== undefined && { maxGrantLifetimeSeconds }),
    ...(originators && {
      originators: originators.map(({ scopes, keys, ...originator }) => ({
        ...originator,
        ...(scopes && { scopes }),
        ...(keys && { keys }),
      })),
    }),
    now: () => now * 1000,
    replayStore: stoppedStore(),
  };
}

/** What the route of a vector asks of a caller. */
export function policyFor({ receiver }: VectorFile, { request }: Vector): RoutePolicy {
  const [path] = request.target.split('?');
  const route = receiver.routes.find((one) => one.path === path);
  return {
    subjectRequired: route?.subjectRequired ?? false,
    allowedIssuers: listed(route?.allowedIssuers),
    proof: route?.proof && {
      maxAgeSeconds: route.proof.maxAgeSeconds,
      scopes: route.proof.scopes,
      originators: listed(route.proof.originators),
      acrs: listed(route.proof.acrs),
    },
  };
}

const listed = (names?: readonly string[]): readonly ReadonlySet<string>[] =>
  names ? [new Set(names)] : [];

/** Whether the vectors of a file say what is proved of the user. */
export const hasGrants = ({ receiver }: VectorFile): boolean => receiver.originators !== undefined;

/** An identity as the vectors write it. */
export function toAccepted(identity: ServiceIdentity, withGrant: boolean): Accepted {
  const { issuer, audience, subject = null, tokenId = null, keyId, grant } = identity;
  const accepted = {
    verdict: 'accepted',
    identity: { issuer, audience, subject, tokenId, keyId },
  } as const;
  return withGrant ? { ...accepted, grant: toProved(grant) } : accepted;
}

function toProved(grant: ServiceIdentity['grant']): ProvedGrant | null {
  if (grant === undefined) return null;
  const { originator, transaction, scopes, acr = null } = grant;
  const { issuedAtSeconds, expiresAtSeconds } = grant;
  return { originator, transaction, scopes, issuedAtSeconds, expiresAtSeconds, acr };
}

export const bytesOf = (body: VectorBody | null): Buffer =>
  Buffer.from(body?.base64 ?? '', 'base64');

/** Every header of the request, the token among them. */
export const headersOf = ({ request, token }: Vector): [string, string][] => [
  ...request.headers.map(([name, value]): [string, string] => [name, value]),
  ...(token === null ? [] : [['JWT', token] as [string, string]]),
];

/** The request as a server hands it over. */
export function received(vector: Vector): IncomingRequest {
  const { method, target, body } = vector.request;
  return { method, target, rawHeaders: headersOf(vector).flat(), body: bytesOf(body) };
}

/** The title of a test: what the vector is, and the rows of the catalogue it stands for. */
export const titleOf = ({ id, description, catalogue = [], expected }: Vector): string => {
  const verdict = expected.verdict === 'accepted' ? 'accepted' : expected.code;
  return `${[...catalogue, id].join(' ')}, ${description}: ${verdict}`;
};

/** Sends the vectors that come before one, each once; `send` is called in their order. */
export class Sequence<T> {
  private readonly sent = new Map<string, Promise<T>>();

  constructor(
    private readonly vectors: readonly Vector[],
    private readonly send: (vector: Vector) => Promise<T>,
  ) {}

  async answerTo(vector: Vector): Promise<T> {
    for (const id of vector.after ?? []) await this.answerTo(this.byId(id));
    const answer = this.sent.get(vector.id) ?? this.send(vector);
    this.sent.set(vector.id, answer);
    return await answer;
  }

  private byId(id: string): Vector {
    const vector = this.vectors.find((one) => one.id === id);
    if (!vector) throw new Error(`no vector is called ${id}`);
    return vector;
  }
}
