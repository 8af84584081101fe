import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKey } from '../support/keys/keys.js';
import { INSTALLED_TRANSPORTS, type MeetingPlace } from '../support/messages/brokers.js';
import { CensusService, inbox, QUEUE, USER } from '../support/messages/messaging-services.js';
import { python, runPython } from '../support/processes/python.js';
import { whereThereIs } from '../support/processes/where-there-is.js';
import { readBlocks } from './page-blocks.mjs';

const SENDER = join(import.meta.dirname, '../../sample/clients/python/message_sender.py');
const REPORTS = 'https://reports.service/';
const DATA = {
  id: 42,
  name: 'Zoë',
  list: [1, null, true, '"\u2028\u0001'],
  nested: { b: 1, a: 2 },
};
const reportsKey = createKey();

const hasClients =
  python !== undefined && spawnSync(python, ['-c', 'import pika, redis']).status === 0;
const describeWithClients = whereThereIs(hasClients, 'Python with pika and redis-py', describe);

/** Ways in which Python sends, by transport. */
const WAYS = [
  { name: 'RabbitMQ', broker: 'rabbitmq', bodies: 'raw', args: ['--raw', '--queue', QUEUE] },
  { name: 'RabbitMQ', broker: 'rabbitmq', bodies: 'json', args: ['--queue', QUEUE] },
  { name: 'Redis', broker: 'redis', bodies: 'json', args: [] },
] as const;

describeWithClients.each(
  WAYS.filter(({ name }) => INSTALLED_TRANSPORTS.some((transport) => transport.name === name)),
)('a sender in Python, over $name with $bodies bodies', ({ name, broker, bodies, args }) => {
  let place: MeetingPlace;
  let census: CensusService;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'messages-other-languages-'));
    writeFileSync(join(folder, 'reports.private.pem'), reportsKey.privatePem);
    place = await INSTALLED_TRANSPORTS.find((transport) => transport.name === name)!.start();
    const keys = [{ publicKey: reportsKey.publicPem, keyId: 'reports-1' }];
    const trustedIssuers = [{ issuer: REPORTS, keys, messages: { bodies } }];
    census = await CensusService.start({ place, options: { trustedIssuers } });
  }, 400_000);

  afterAll(async () => {
    await census?.close();
    await place?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  beforeEach(() => void inbox.splice(0));

  const send = async (...more: readonly string[]): Promise<void> => {
    const key = join(folder, 'reports.private.pem');
    const all = [broker, '--port', `${place.port}`, '--key', key, ...args, ...more];
    expect(await runPython(SENDER, all)).toEqual({ ok: true, output: '' });
  };

  it('is served, and the handler gets its data', async () => {
    const accepted = census.events.next('request_accepted');
    await send('--data', JSON.stringify(DATA));
    expect(await accepted).toMatchObject({ issuer: REPORTS, hasSubject: true });
    while (inbox.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(inbox).toMatchObject([
      { pattern: 'user.changed', data: DATA, caller: { subject: USER } },
    ]);
  }, 120_000);

  it('is refused with data that was changed after signing', async () => {
    const refused = census.events.next('request_refused');
    await send('--data', JSON.stringify(DATA), '--change-data');
    expect(await refused).toMatchObject({ code: 'body_mismatch' });
    expect(inbox).toEqual([]);
  }, 120_000);

  if (bodies === 'json') {
    it.each(['{"half": 0.5}', '{"large": 9007199254740992}', '{"7": "seven"}'])(
      'does not sign %s, which may be another text in JavaScript',
      async (data) => {
        const key = join(folder, 'reports.private.pem');
        const all = [broker, '--port', `${place.port}`, '--key', key, ...args, '--data', data];
        const { ok, output } = await runPython(SENDER, all);
        expect([ok, output]).toEqual([false, expect.stringContaining('ValueError') as unknown]);
      },
      120_000,
    );
  }

  if (bodies === 'raw') {
    it('is served as the page writes it', async () => {
      const block = readBlocks('docs/messages.md').find(({ file }) => file === 'emit.py');
      // The page has a key beside the program.
      const code = block?.code.replace('"reports.private.pem"', () =>
        JSON.stringify(join(folder, 'reports.private.pem')),
      );
      const program = join(folder, 'emit.py');
      writeFileSync(program, code ?? '');
      const accepted = census.events.next('request_accepted');
      expect(await runPython(program, [`${place.port}`, QUEUE])).toEqual({ ok: true, output: '' });
      expect(await accepted).toMatchObject({ issuer: REPORTS, hasSubject: true });
    }, 120_000);
  }
});
