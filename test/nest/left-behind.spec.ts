import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { MemoryReplayStore, type TrustedIssuerOptions } from 'nestjs-service-auth';
import { BASELINE, CENSUS, HERALD, heraldKey, startCensus } from '../support/services/census.js';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { forge, strictParts, strictToken, type StrictTokenParts } from '../support/tokens/forge.js';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { RECEIVER_PROGRAM, ReceiverProcess } from '../support/processes/receiver-process.js';
import { ADAPTERS } from '../support/services/service.js';

const MEBIBYTE = 1024 * 1024;
const CONNECTIONS = 2_000;
/** How many are begun at once: the queue of a listening socket holds no more than some hundred. */
const BATCH = 100;
const strangerKey = createKey();
const keep = closeAfterEach();

const token = (target: string, parts: Partial<StrictTokenParts> = {}): string =>
  strictToken({ key: heraldKey, issuer: HERALD, audience: CENSUS, target, ...parts });

async function inBatches<T, R>(
  items: readonly T[],
  work: (item: T, at: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += BATCH) {
    const batch = items.slice(at, at + BATCH).map((item, offset) => work(item, at + offset));
    results.push(...(await Promise.all(batch)));
  }
  return results;
}

describe('PF-08 2,000 connections with 15 kB of headers each', () => {
  let project: CompiledProject;
  beforeAll(() => {
    project = compileProject([RECEIVER_PROGRAM]);
  });
  afterAll(() => project.remove());

  /** What is sent under which number: every other one is refused, each with names of its own. */
  const headersFor = (at: number): string => {
    const claims = { fill: 'x'.repeat(5_300) };
    const refused = [
      { issuer: `https://${randomUUID()}.service/` },
      { key: { ...strangerKey, keyId: randomUUID() } },
      { key: { ...strangerKey, keyId: heraldKey.keyId } },
    ][(at >> 1) % 3];
    const lines = [
      'GET /thing/1 HTTP/1.1',
      'Host: x',
      'Connection: close',
      `JWT: ${token('/thing/1', { claims, ...(at % 2 ? {} : refused) })}`,
      `X-Fill: ${'y'.repeat(7_500)}`,
      '',
    ];
    return lines.join('\r\n');
  };

  async function begin(port: number, at: number): Promise<Socket> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    // All but the empty line at the end: the server holds the headers, and waits.
    await new Promise((resolve) => socket.write(headersFor(at), resolve));
    return socket;
  }

  async function finish(socket: Socket): Promise<string> {
    const received: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => received.push(chunk));
    socket.write('\r\n');
    await once(socket, 'close');
    return /^HTTP\/1\.1 (\d+)/.exec(Buffer.concat(received).toString('latin1'))?.[1] ?? 'none';
  }

  async function flood(port: number, count: number, whileOpen: () => unknown): Promise<string[]> {
    const numbers = Array.from({ length: count }, (_, at) => at);
    const sockets = await inBatches(numbers, async (at) => await begin(port, at));
    await whileOpen();
    return await inBatches(sockets, finish);
  }

  it.each(ADAPTERS)(
    'leave nothing behind on %s but the uses of what was accepted',
    async (on) => {
      const trusted = { issuer: HERALD, publicKey: heraldKey.publicPem };
      const receiver = keep(await ReceiverProcess.start(project, on, [trusted]));
      await flood(receiver.port, 400, () => undefined);
      const before = await receiver.tell();
      expect(before.rememberedUses).toBe(200);

      const answers = await flood(receiver.port, CONNECTIONS, async () => {
        // A connection is there for its client before the server has taken it.
        while ((await receiver.tell()).connections < CONNECTIONS);
      });
      expect(answers.filter((status) => status === '200')).toHaveLength(CONNECTIONS / 2);
      expect(answers.filter((status) => status === '401')).toHaveLength(CONNECTIONS / 2);

      const after = await receiver.tell();
      expect(after.rememberedUses).toBe(200 + CONNECTIONS / 2);
      expect(after.knownKeyIds).toEqual([heraldKey.keyId]);
      expect(after.unhandled).toEqual([]);
      expect(after.heapUsed - before.heapUsed).toBeLessThan(8 * MEBIBYTE);
    },
    120_000,
  );
});

describe.each(ADAPTERS)('a flood of invented names on %s', (adapter) => {
  const SIZE = 2_000;

  it('is remembered nowhere, and logged in a handful of sentences', async () => {
    const logger = new LogRecorder();
    const replayStore = new MemoryReplayStore();
    const trusted: TrustedIssuerOptions = { issuer: HERALD, publicKey: heraldKey.publicPem };
    const find = (issuer: string) => (issuer === HERALD ? trusted : undefined);
    const census = keep(
      await startCensus({
        adapter,
        options: { trustedIssuers: { find }, replayStore, now: Date.now },
        service: { logger },
      }),
    );
    const { target } = BASELINE;
    const { header, claims } = strictParts({ ...BASELINE, now: undefined });
    const signature = token(target).split('.')[2] ?? '';
    const unsigned = (names: object, id: object): string =>
      forge({ ...header, ...id }, { ...claims, ...names }, heraldKey)
        .split('.')
        .with(2, signature)
        .join('.');
    const forgeries: (() => string)[] = [
      () => unsigned({ iss: `https://${randomUUID()}.service/` }, {}),
      () => unsigned({}, { kid: randomUUID() }),
      () => unsigned({ jti: randomUUID() }, {}),
      () => token(target, { claims: { aud: `https://${randomUUID()}.service/` } }),
      () => token(`${target}?${randomUUID()}`),
      () => token(target, { claims: { bdy: randomUUID().replaceAll('-', '').repeat(2) } }),
    ];
    const sent = Array.from(
      { length: SIZE },
      (_, at) => forgeries[at % forgeries.length]?.() ?? '',
    );
    const codes = await inBatches(sent, async (one) => {
      const { code } = await call(census.port, { target, headers: { JWT: one } });
      return code;
    });
    expect(new Set(codes)).toEqual(
      new Set([
        'audience_mismatch',
        'body_mismatch',
        'issuer_unknown',
        'key_unknown',
        'request_mismatch',
        'signature_invalid',
      ]),
    );
    expect(replayStore.size).toBe(0);
    // The first of each code is a warning, where a trusted issuer is verified or named; the others are counted.
    const refused = logger.entries.filter(({ text }) => text.startsWith('Refused'));
    expect(refused).toHaveLength(SIZE);
    expect(refused.filter(({ level }) => level === 'warn')).toHaveLength(5);
    // The audience is a word of a verified token, so it is named.
    const sentences = refused.map(({ text }) => text.replace(/made for \S+;/, 'made for ...;'));
    expect(new Set(sentences).size).toBe(6);

    const { status } = await call(census.port, { target, headers: { JWT: token(target) } });
    expect(status).toBe(200);
    expect(replayStore.size).toBe(1);
  }, 60_000);
});
