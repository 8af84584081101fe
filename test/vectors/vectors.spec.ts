import {
  createServiceAuth,
  REFUSALS,
  type RefusalCode,
  type ServiceAuth,
  ServiceAuthConfigError,
  ServiceTokenRefusedError,
} from 'nestjs-service-auth/core';
import { ALGORITHMS } from '../../lib/core/algorithms.js';
import { decodeHeader } from '../support/tokens/forge.js';
import {
  type Accepted,
  hasGrants,
  type KeyVectorFile,
  optionsFor,
  policyFor,
  readVectors,
  received,
  type Refused,
  REQUEST_FILES,
  Sequence,
  titleOf,
  toAccepted,
  type Vector,
} from './vector-files.js';
import { stoppedStore } from '../support/clocks/clocks.js';

/** The codes that no request provokes by itself: something fails, or the application has a say. */
const NOT_BY_REQUEST: readonly RefusalCode[] = [
  'key_unavailable',
  'replay_store_unavailable',
  'headers_unverifiable',
  'body_consumed',
  'subject_unknown',
  'context_unsupported',
  // Of messages and jobs alone.
  'message_busy',
];

async function verdictOf(
  verifying: ReturnType<ServiceAuth['verify']>,
  withGrant = false,
): Promise<unknown> {
  try {
    return toAccepted(await verifying, withGrant);
  } catch (error) {
    if (!(error instanceof ServiceTokenRefusedError)) throw error;
    const { code, status } = error;
    return { verdict: 'refused', code, status } satisfies Refused;
  }
}

describe.each(REQUEST_FILES)('the vectors of $name.json', ({ file }) => {
  let service: ServiceAuth;
  beforeAll(async () => {
    service = await createServiceAuth(optionsFor(file));
  });
  afterAll(() => service.close());

  const sequence = new Sequence(file.vectors, async (vector) =>
    verdictOf(service.verify(received(vector), policyFor(file, vector)), hasGrants(file)),
  );

  it.each(file.vectors.map((vector) => [titleOf(vector), vector] as const))(
    '%s',
    async (_title, vector) => {
      expect(await sequence.answerTo(vector)).toEqual(vector.expected);
    },
  );

  it('have a twin that is accepted beside each that is refused, and the bytes of each text', () => {
    const accepted = new Set(
      file.vectors.filter(({ expected }) => expected.verdict === 'accepted').map(({ id }) => id),
    );
    const refused = file.vectors.filter(({ id }) => !accepted.has(id));
    expect(refused.filter(({ twin = '' }) => !accepted.has(twin)).map(({ id }) => id)).toEqual([]);
    for (const { request } of file.vectors) {
      const { text, base64 = '' } = request.body ?? {};
      if (text !== undefined) expect(Buffer.from(text).toString('base64')).toBe(base64);
    }
  });
});

describe('the vectors of issuer-keys.json', () => {
  const { now, receiver, vectors } = readVectors<KeyVectorFile>('issuer-keys');

  it.each(vectors.map((vector) => [titleOf(vector), vector] as const))(
    '%s, or no start',
    async (_title, { jwk, ...vector }) => {
      const creating = createServiceAuth({
        issuer: receiver.issuer,
        trustedIssuers: [{ ...receiver.trustedIssuer, publicKey: jwk }],
        now: () => now * 1000,
        replayStore: stoppedStore(),
      });
      if (vector.expected.verdict === 'refused') {
        await expect(creating).rejects.toThrow(ServiceAuthConfigError);
        return;
      }
      const service = await creating;
      expect(await verdictOf(service.verify(received(vector)))).toEqual(vector.expected);
      service.close();
    },
  );
});

describe('the vectors together', () => {
  const all: Vector[] = REQUEST_FILES.flatMap(({ file }) => file.vectors);

  it('provoke every code that a request can provoke', () => {
    const provoked = new Set(
      all.flatMap(({ expected }) => (expected.verdict === 'refused' ? [expected.code] : [])),
    );
    const expected = Object.keys(REFUSALS).filter(
      (code) => !NOT_BY_REQUEST.some((other) => other === code),
    );
    expect([...provoked].toSorted()).toEqual(expected.toSorted());
  });

  it('hold every algorithm in both profiles, accepted and refused', () => {
    const { receiver, vectors } = REQUEST_FILES.find(({ name }) => name === 'algorithms')!.file;
    const profiles = new Map(receiver.trustedIssuers.map((one) => [one.issuer, one.profile]));
    const held = vectors.map(({ id, twin = id, expected }) => {
      const good = vectors.find((one) => one.id === twin)!;
      const { identity } = good.expected as Accepted;
      const { alg } = decodeHeader(good.token ?? '');
      return `${profiles.get(identity.issuer)} ${String(alg)} ${expected.verdict}`;
    });
    const expected = ['strict', 'original'].flatMap((profile) =>
      Object.keys(ALGORITHMS).flatMap((alg) =>
        ['accepted', 'refused'].map((verdict) => `${profile} ${alg} ${verdict}`),
      ),
    );
    expect([...new Set(held)].toSorted()).toEqual(expected.toSorted());
  });
});
