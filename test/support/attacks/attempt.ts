import type { OutgoingHttpHeaders } from 'node:http';
import type { RefusalCode } from 'nestjs-service-auth';
import { encode, forge, type Json, signBytes, strictParts } from '../tokens/forge.js';
import type { Call } from '../http/http.js';
import type { TestKey } from '../keys/keys.js';
import type { Adapter } from '../services/service.js';
import { tthOf } from '../tokens/grant.js';

/** One request with a token made for it: good, until a row changes something. */
export interface Attempt {
  readonly key: TestKey;
  readonly issuer: string;
  readonly audience: string;
  readonly subject: string | undefined;
  readonly method: string;
  readonly target: string;
  readonly body: string | Uint8Array | undefined;
  readonly contentType: string | undefined;
  /** What is on the wire besides the token and the Content-Type. */
  readonly headers: OutgoingHttpHeaders;
  /** The request the token is made for, where that is not the request that is sent. */
  readonly madeFor: Partial<Pick<Attempt, 'method' | 'target' | 'body' | 'contentType'>>;
  /** Merged over the good JOSE header and the good claims; `undefined` leaves a member out. */
  readonly header: Json;
  readonly claims: Json;
  /** Makes the token from its parts. Default: signs them as they are. */
  readonly build: (header: Json, claims: Json, key: TestKey) => string;
  /** How the token is sent. Default: in one `JWT` header. */
  readonly send: (token: string) => OutgoingHttpHeaders;
  /** The grant of the user, which the token names. Default: none. */
  readonly grant: string | undefined;
  /** How the grant is sent. Default: in one `Txn-Token` header. */
  readonly sendGrant: (grant: string) => OutgoingHttpHeaders;
}

export type AttemptParts = Partial<Attempt>;

/** A request that is refused, beside its twin that is not: the two differ in `change` alone. */
export interface AttackRow {
  readonly title: string;
  readonly code: RefusalCode;
  /** Where it is not the status of the code. */
  readonly status?: number;
  /** What both have in common that differs from the baseline. */
  readonly common?: AttemptParts;
  readonly change: AttemptParts;
  /** Where only one framework lets such a request reach the guard. */
  readonly only?: Adapter;
}

/** Lays parts over an attempt; headers and claims add up, everything else replaces. */
export function withParts(attempt: Attempt, parts: AttemptParts = {}): Attempt {
  return {
    ...attempt,
    ...parts,
    headers: { ...attempt.headers, ...parts.headers },
    madeFor: { ...attempt.madeFor, ...parts.madeFor },
    header: { ...attempt.header, ...parts.header },
    claims: { ...attempt.claims, ...parts.claims },
  };
}

/** A fresh token for the attempt, issued at `nowSeconds`. */
export function tokenFor(attempt: Attempt, nowSeconds: number): string {
  const { grant } = attempt;
  const tth = grant === undefined ? undefined : tthOf(grant);
  const { header, claims } = strictParts({
    ...attempt,
    ...attempt.madeFor,
    claims: { tth, ...attempt.claims },
    now: nowSeconds,
  });
  return attempt.build(header, claims, attempt.key);
}

/** The request as it is sent with `token`. */
export function toCall(attempt: Attempt, token: string): Call {
  const { method, target, body, contentType, grant } = attempt;
  const headers = Object.entries(attempt.headers).filter(([, value]) => value !== undefined);
  return {
    method,
    target,
    body,
    headers: {
      ...(contentType === undefined ? {} : { 'content-type': contentType }),
      ...Object.fromEntries(headers),
      ...attempt.send(token),
      ...(grant === undefined ? {} : attempt.sendGrant(grant)),
    },
  };
}

export const honestly: Attempt['build'] = (header, claims, key) => forge(header, claims, key);

/** Signs two segments however they are spelled. */
export function signSegments(header: string, payload: string, key: TestKey): string {
  const input = `${header}.${payload}`;
  return `${input}.${encode(signBytes(input, key))}`;
}

/** Changes the text of the payload before it is signed. */
export const withPayload =
  (edit: (json: string) => string | Uint8Array): Attempt['build'] =>
  (header, claims, key) =>
    signSegments(encode(JSON.stringify(header)), encode(edit(JSON.stringify(claims))), key);

/** Changes the text of the JOSE header before it is signed. */
export const withHeaderText =
  (edit: (json: string) => string | Uint8Array): Attempt['build'] =>
  (header, claims, key) =>
    signSegments(encode(edit(JSON.stringify(header))), encode(JSON.stringify(claims)), key);

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The same bytes with a bit set that no byte uses; the length must not be a multiple of four. */
export function strayBit(segment: string): string {
  if (segment.length % 4 === 0) throw new Error('every bit of this segment is used');
  return segment.slice(0, -1) + ALPHABET[ALPHABET.indexOf(segment.at(-1) ?? '') + 1];
}

/** JSON padded with white space until its base64url has unused bits, and one of them set. */
export function encodeWithStrayBit(value: Json): string {
  const json = JSON.stringify(value);
  return strayBit(encode(Buffer.byteLength(json) % 3 === 0 ? `${json} ` : json));
}

/** Applies `edit` to one of the three segments of a token. */
export function editSegment(
  token: string,
  at: 0 | 1 | 2,
  edit: (segment: string) => string,
): string {
  return token
    .split('.')
    .map((segment, index) => (index === at ? edit(segment) : segment))
    .join('.');
}

/** Sends another value than the token itself. */
export const sendAs =
  (respell: (token: string) => string | string[]): Attempt['send'] =>
  (token) => ({ JWT: respell(token) });
