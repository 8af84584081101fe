import fc from 'fast-check';
import { type IncomingRequest, MemoryReplayStore, type TokenUse } from 'nestjs-service-auth/core';
import { createKey } from '../support/keys/keys.js';
import {
  CENSUS,
  codeOf,
  createPeers,
  type Peers,
  received,
  signed,
} from '../support/services/peers.js';
import { itHolds } from '../support/properties/property.js';
import { ORDER, type RequestOfBytes, requests } from './requests.js';

type Change = (bytes: Buffer) => Buffer;
type Arrived = IncomingRequest & { readonly body: Uint8Array };

const place = fc.nat(9000);

const flip =
  (at: number, bit: number): Change =>
  (bytes) => {
    const flipped = Buffer.from(bytes);
    const index = at % bytes.length;
    flipped[index] = (bytes[index] ?? 0) ^ (1 << bit);
    return flipped;
  };

/** One bit of the bytes. */
const oneBit = fc.tuple(place, fc.nat(7)).map(([at, bit]) => flip(at, bit));

/** Some of the bytes replaced, put in, or taken out; two of them exchanged. */
const someBytes: fc.Arbitrary<Change> = fc.oneof(
  fc
    .tuple(place, fc.nat(8), fc.uint8Array({ maxLength: 8 }))
    .map(([at, length, bytes]): Change => (all) => {
      const start = at % (all.length + 1);
      return Buffer.concat([all.subarray(0, start), bytes, all.subarray(start + length)]);
    }),
  fc.tuple(place, place).map(([one, other]): Change => (all) => {
    const copy = Buffer.from(all);
    const [a, b] = [one % all.length, other % all.length];
    [copy[a], copy[b]] = [all[b] ?? 0, all[a] ?? 0];
    return copy;
  }),
);

const changes = fc.oneof({ weight: 3, arbitrary: oneBit }, { weight: 1, arbitrary: someBytes });

/** Other spellings of the same, to whoever decodes or folds before comparing. */
const respellings = fc.constantFrom<(text: string) => string>(
  (text) => text.toLowerCase(),
  (text) => text.toUpperCase(),
  (text) => encodeURI(text),
  (text) => encodeURIComponent(text),
  (text) => `${CENSUS.slice(0, -1)}${text}`,
  (text) => text.replace('/', '//'),
  (text) => text.replace('/', '/./'),
  (text) => `${text} HTTP/1.1`,
  (text) => `${text}#`,
  (text) => `${text}?`,
  (text) => text.normalize('NFD'),
);

const changeText =
  (change: Change) =>
  (text: string): string =>
    change(Buffer.from(text, 'latin1')).toString('latin1');
const textChanges = fc.oneof(
  { weight: 4, arbitrary: changes.map(changeText) },
  { weight: 1, arbitrary: respellings },
);

const withBody = requests.filter(({ body }) => body.length > 0);
const withOrder = requests.map((request) => ({
  ...request,
  headers: { ...request.headers, 'X-Order': request.headers['X-Order'] ?? '7' },
}));

describe.each(['ES256', 'EdDSA'] as const)('what is changed after signing with %s', (algorithm) => {
  const key = createKey(algorithm);
  let peers: Peers;
  // The clock of the peers stands still, that of a store does not: each run has its own.
  let replayStore = new MemoryReplayStore();
  beforeAll(async () => {
    const herald = { signedHeaders: [ORDER] };
    const recordUse = (use: TokenUse) => replayStore.recordUse(use);
    const census = { requiredHeaders: [ORDER], replayStore: { recordUse } };
    peers = await createPeers(key, { herald, census });
  });

  /** The changed one is refused; its twin, which differs in the change alone, is accepted once after it. */
  const expectOnlyTheTwinToPass = async (
    request: RequestOfBytes,
    change: (arrived: Arrived) => IncomingRequest,
    codes?: readonly string[],
  ): Promise<void> => {
    replayStore = new MemoryReplayStore();
    const token = await signed(peers.herald, request);
    const arrived = { ...received(request, token), body: request.body };
    const changed = change(arrived);
    fc.pre(differs(changed, arrived));
    const code = await codeOf(async () => await peers.census.verify(changed));
    if (codes) expect(codes).toContain(code);
    else expect(code).not.toBe('accepted');
    expect(await codeOf(async () => await peers.census.verify(arrived))).toBe('accepted');
  };

  const withToken = (arrived: Arrived, edit: (token: string) => string): IncomingRequest => {
    const { rawHeaders } = arrived;
    return { ...arrived, rawHeaders: rawHeaders.with(-1, edit(rawHeaders.at(-1) ?? '')) };
  };

  itHolds(
    'SG-10 a token with any bit or bytes of its text changed is refused',
    [requests, changes],
    async (request, change) =>
      await expectOnlyTheTwinToPass(request, (arrived) => withToken(arrived, changeText(change))),
  );

  itHolds(
    'SG-10 a token with any bit or bytes of a decoded segment changed is refused',
    [requests, fc.nat(2), changes],
    async (request, at, change) =>
      await expectOnlyTheTwinToPass(request, (arrived) =>
        withToken(arrived, (token) => {
          const segments = token.split('.');
          const bytes = Buffer.from(segments[at] ?? '', 'base64url');
          return segments.with(at, change(bytes).toString('base64url')).join('.');
        }),
      ),
  );

  itHolds(
    'BB-01 a body with any bit or bytes changed is refused',
    [withBody, changes],
    async (request, change) =>
      await expectOnlyTheTwinToPass(
        request,
        (arrived) => ({ ...arrived, body: change(Buffer.from(arrived.body)) }),
        ['body_mismatch', 'header_mismatch'],
      ),
  );

  itHolds(
    'BB-01 any other body is refused',
    [requests, fc.uint8Array({ maxLength: 40 })],
    async (request, body) =>
      await expectOnlyTheTwinToPass(request, (arrived) => ({ ...arrived, body }), [
        'body_mismatch',
        'claim_missing',
        'header_mismatch',
      ]),
  );

  describe.each(['method', 'target'] as const)('RB-01, RB-05 any other %s', (part) => {
    itHolds('is refused', [requests, textChanges], async (request, change) => {
      await expectOnlyTheTwinToPass(
        request,
        (arrived) => ({ ...arrived, [part]: change(arrived[part]) }),
        ['request_mismatch'],
      );
    });
  });

  itHolds(
    'RB-05 the space between method and target cannot be moved',
    [requests, place],
    async (request, at) =>
      await expectOnlyTheTwinToPass(
        request,
        (arrived) => {
          const line = `${arrived.method} ${arrived.target}`;
          const index = at % line.length;
          return { ...arrived, method: line.slice(0, index), target: line.slice(index + 1) };
        },
        ['request_mismatch'],
      ),
  );

  itHolds(
    'CH-01, CH-02, CH-04, CH-06 a header that describes the body, added, gone or twice, is refused',
    [
      withBody,
      fc.constantFrom('Content-Type', 'CONTENT-Encoding', 'content-range'),
      fc.constantFrom('gzip', 'identity', ''),
    ],
    async (request, name, added) =>
      await expectOnlyTheTwinToPass(
        request,
        (arrived) => {
          const { rawHeaders } = arrived;
          const isIt = (each: string, index: number) =>
            index % 2 === 0 && each.toLowerCase() === name.toLowerCase();
          const at = rawHeaders.findIndex(isIt);
          const more = [name, added, ...rawHeaders];
          const changed = at === -1 || added === '' ? more : rawHeaders.toSpliced(at, 2);
          return { ...arrived, rawHeaders: changed };
        },
        ['header_mismatch'],
      ),
  );

  itHolds(
    'a bound header with any bit or bytes changed, gone, or twice, is refused',
    [withOrder, fc.oneof(textChanges, fc.constant('gone'), fc.constant('twice'))],
    async (request, change) =>
      await expectOnlyTheTwinToPass(
        request,
        (arrived) => {
          const { rawHeaders } = arrived;
          const at = rawHeaders.indexOf('X-Order');
          const value = rawHeaders[at + 1] ?? '';
          if (typeof change === 'function') {
            return { ...arrived, rawHeaders: rawHeaders.with(at + 1, change(value)) };
          }
          const instead = change === 'gone' ? [] : ['X-Order', value, 'x-order', value];
          return { ...arrived, rawHeaders: rawHeaders.toSpliced(at, 2, ...instead) };
        },
        ['header_mismatch'],
      ),
  );
});

function differs(one: IncomingRequest, other: IncomingRequest): boolean {
  const textOf = ({ method, target, rawHeaders, body }: IncomingRequest): string =>
    JSON.stringify([method, target, rawHeaders, body instanceof Uint8Array ? [...body] : body]);
  return textOf(one) !== textOf(other);
}
