import type { JsonWebKey } from 'node:crypto';
import {
  createServiceAuth,
  type Profile,
  type ServiceAuth,
  type ServiceAuthOptions,
  ServiceTokenRefusedError,
} from 'nestjs-service-auth/core';
import { from } from 'rxjs';
import {
  type AnsweredMessage,
  type CallTransport,
  type IncomingMessage,
  type KeySource,
  type MessageVerb,
  ServiceAnswerRefusedError,
} from '../../lib/core/index.js';
import { createStaticKeySource } from '../../lib/keys/static-key-source.js';
import { believedAnswers } from '../../lib/nest/messages/believed-answers.js';
import { stoppedStore } from '../support/clocks/clocks.js';
import { type Accepted, readVectors, type Refused, toAccepted } from './vector-files.js';

/** The files `messages.json` and `answers.json` as README.md describes them. */

interface MessageVector {
  readonly id: string;
  readonly description: string;
  readonly twin?: string;
  readonly after?: readonly string[];
  readonly message: {
    readonly verb: MessageVerb;
    readonly route: string;
    readonly headers: readonly (readonly [name: string, value: string])[];
    readonly data: string;
    readonly bytes: string | null;
  };
  readonly expected: (Accepted & { readonly wantsAnswer: boolean }) | Refused;
}

interface MessageVectorFile {
  readonly now: number;
  readonly receiver: {
    readonly issuer: string;
    readonly audiences: readonly string[];
    readonly topics: readonly string[];
    readonly clockToleranceSeconds: number;
    readonly maxTokenLifetimeSeconds: number;
    readonly maxMessageLifetimeSeconds: number;
    readonly trustedIssuers: readonly {
      readonly issuer: string;
      readonly profile: Profile;
      readonly subjects: readonly string[] | null;
      readonly transports: readonly CallTransport[];
      readonly bodies: 'json' | 'raw';
      readonly keys: readonly JsonWebKey[];
    }[];
  };
  readonly vectors: readonly MessageVector[];
}

interface AnswerVectorFile {
  readonly message: AnsweredMessage;
  readonly keys: readonly JsonWebKey[];
  readonly vectors: readonly {
    readonly id: string;
    readonly description: string;
    readonly twin?: string;
    readonly parts: readonly unknown[];
    readonly expected:
      | {
          readonly verdict: 'believed';
          readonly values: readonly (string | null)[];
          readonly error: string | null;
        }
      | { readonly verdict: 'refused'; readonly code: string; readonly values: readonly string[] };
  }[];
}

function optionsFor({ now, receiver }: MessageVectorFile): ServiceAuthOptions {
  const { audiences, trustedIssuers, ...same } = receiver;
  return {
    ...same,
    audience: audiences,
    trustedIssuers: trustedIssuers.map(({ subjects, bodies, ...trusted }) => ({
      ...trusted,
      messages: { bodies },
      ...(subjects && { subjects }),
    })),
    now: () => now * 1000,
    replayStore: stoppedStore(),
  };
}

/** The message as a server of Nest hands it over. */
function received({ message: { headers, data, bytes, ...same } }: MessageVector): IncomingMessage {
  const valuesOf = (name: string): string[] =>
    headers.flatMap(([other, value]) => (other.toLowerCase() === name ? [value] : []));
  return {
    ...same,
    headerValues: valuesOf,
    data: JSON.parse(data) as unknown,
    bytes: bytes === null ? undefined : Buffer.from(bytes),
  };
}

async function verdictOf(service: ServiceAuth, vector: MessageVector): Promise<unknown> {
  const terms = { policy: {}, space: vector.message.verb, replay: 'record' } as const;
  try {
    const verification = service.beginVerification();
    const { identity, wantsAnswer } = await verification.proveMessage(received(vector), terms);
    return { ...toAccepted(identity, false), wantsAnswer };
  } catch (error) {
    if (!(error instanceof ServiceTokenRefusedError)) throw error;
    return { verdict: 'refused', code: error.code, status: error.status };
  }
}

const titleOf = ({ id, description, expected }: MessageVector): string =>
  `${id}, ${description}: ${expected.verdict === 'accepted' ? 'accepted' : expected.code}`;

describe('the vectors of messages.json', () => {
  const file = readVectors<MessageVectorFile>('messages');
  let service: ServiceAuth;
  beforeAll(async () => {
    service = await createServiceAuth(optionsFor(file));
  });
  afterAll(() => service.close());

  it.each(file.vectors.map((vector) => [titleOf(vector), vector] as const))(
    '%s',
    async (_title, { after = [], ...vector }) => {
      // Each vector that comes before is sent to a receiver of its own, so that a test may run alone.
      const fresh = after.length > 0 ? await createServiceAuth(optionsFor(file)) : service;
      for (const id of after) {
        const before = file.vectors.find((one) => one.id === id)!;
        expect(await verdictOf(fresh, before)).toEqual(before.expected);
      }
      expect(await verdictOf(fresh, vector)).toEqual(vector.expected);
      if (fresh !== service) fresh.close();
    },
  );

  it('have a twin that is accepted beside each that is refused', () => {
    expect(withoutTwin(file.vectors, 'accepted')).toEqual([]);
  });
});

describe('the vectors of answers.json', () => {
  const { message, keys, vectors } = readVectors<AnswerVectorFile>('answers');
  let source: KeySource;
  beforeAll(async () => {
    source = await createStaticKeySource({ issuer: message.answerer, keys });
  });

  /** What a caller gets of an answer: the texts of its values, and how it ends. */
  const answerOf = async (parts: readonly unknown[]): Promise<unknown> => {
    const values: unknown[] = [];
    return await new Promise((resolve) => {
      believedAnswers(from(parts), message, source).subscribe({
        next: (value) => values.push(value),
        error: (error: unknown) => resolve({ values, ...endOf(error) }),
        complete: () => resolve({ verdict: 'believed', values, error: null }),
      });
    });
  };

  it.each(vectors.map((vector) => [`${vector.id}, ${vector.description}`, vector] as const))(
    '%s',
    async (_title, { parts, expected }) => {
      const values = expected.values.map((text) => (text === null ? undefined : parsed(text)));
      const end = 'error' in expected ? { error: parsed(expected.error ?? 'null') } : {};
      expect(await answerOf(parts)).toEqual({ ...expected, ...end, values });
    },
  );

  it('have a twin that is believed beside each that is refused', () => {
    expect(withoutTwin(vectors, 'believed')).toEqual([]);
  });
});

const parsed = (text: string): unknown => JSON.parse(text);

/** An error of this library, or the error that the answer is. */
function endOf(error: unknown): object {
  if (error instanceof ServiceAnswerRefusedError) return { verdict: 'refused', code: error.code };
  if (error instanceof Error) return { verdict: error.name };
  return { verdict: 'believed', error };
}

function withoutTwin(
  vectors: readonly {
    readonly id: string;
    readonly twin?: string;
    readonly expected: { readonly verdict: string };
  }[],
  good: string,
): string[] {
  const twins = new Set(
    vectors.filter(({ expected }) => expected.verdict === good).map(({ id }) => id),
  );
  return vectors
    .filter(({ id, twin = '' }) => !twins.has(id) && !twins.has(twin))
    .map(({ id }) => id);
}
