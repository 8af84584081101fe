import { createPrivateKey, createPublicKey, type JsonWebKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { EXIT_CODES } from '../../lib/cli/exit-codes.js';
import { runCommandLine } from '../../lib/cli/program.js';
import { createKey, type TestKey } from '../support/keys/keys.js';
import { RotatingServices } from '../support/services/rotating-services.js';
import { ADAPTERS } from '../support/services/service.js';
import { jwkOf, serveKeys, serveText, startKeyServer } from '../support/keys/key-server.js';
import { temporaryFolder } from './command-line.js';

const MAX_AGE = 60;
const RELOAD = 10;
/** What a token may live at most, and what a receiver may tolerate at most. */
const TOKEN = 300 + 60;

const PAGE = readFileSync(join(import.meta.dirname, '..', '..', 'docs/keys.md'), 'utf8');

interface Ring {
  readonly previous?: JsonWebKey;
  readonly current: JsonWebKey;
  readonly next?: JsonWebKey;
}

interface Printed {
  readonly outcome: string;
  readonly message: string;
  readonly previous: string | null;
  readonly current: string;
  readonly next: string | null;
  readonly earliest: string | null;
}

/** Runs the command in this process, at the time of the test's clock. */
async function run(now: () => number, ...args: string[]) {
  let text = '';
  const terminal = {
    out: (part: string | Uint8Array) => void (text += String(part)),
    err: (part: string) => void (text += part),
    readInput: async () => Buffer.alloc(0),
    now,
    isScreen: false,
    hasColours: false,
    divertOthers: () => undefined,
  };
  const code = await runCommandLine(['rotate', ...args], terminal, '0');
  return { code, text };
}

const ringOf = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Ring;
const privateJwk = (key: TestKey): JsonWebKey => key.privateKey.export({ format: 'jwk' });

describe.each(ADAPTERS)('rotate, while a service on %s is under load', (adapter) => {
  it('gives a service that has a PEM another key, and no request fails', async () => {
    const old = createKey();
    const services = await RotatingServices.start(adapter, MAX_AGE, old.privatePem);
    const where = [services.keyFile, '--jwks', services.jwksUri];
    const step = async (name: string) => {
      const args = [name, ...where, '--reload-seconds', String(RELOAD), '--json'];
      const { code, text } = await run(services.now, ...args);
      return { code, at: services.seconds, ...(JSON.parse(text) as Printed) };
    };
    const refusals = new Map<string, Set<string>>();
    const done: Awaited<ReturnType<typeof step>>[] = [];
    const order = [...PAGE.matchAll(/^npx nestjs-service-auth rotate (\w+) /gm)].map(
      ([, name = '']) => name,
    );
    let running = false;
    /** Asks for the next step again and again, as somebody who cannot wait. */
    const hurry = async (name: string): Promise<void> => {
      running = true;
      const result = await step(name);
      running = false;
      if (result.code === EXIT_CODES.ok) {
        done.push(result);
        order.shift();
        return;
      }
      refusals.set(name, (refusals.get(name) ?? new Set()).add(result.message));
    };
    try {
      const seconds = 3 * RELOAD + 2 * MAX_AGE + TOKEN + 200;
      const pending: Promise<void>[] = [];
      const outcomes = await services.load({ seconds, perSecond: 15 }, async () => {
        const [name] = order;
        if (name === undefined || running || services.seconds < 5) return;
        pending.push(hurry(name));
        // The clock goes on while `publish` waits for the service, and for nothing else.
        if (name !== 'publish') await pending.at(-1);
      });
      await Promise.all(pending);

      expect(done.map(({ outcome }) => outcome)).toEqual(['done', 'done', 'done']);
      const next = done[0]?.next;
      expect([...outcomes.keys()].toSorted()).toEqual(
        [`200 ${old.keyId}`, `200 ${next}`].toSorted(),
      );
      expect([...outcomes.values()].reduce((sum, count) => sum + count)).toBe(seconds * 15);
      expect(refusals.get('switch')).toEqual(
        new Set(['It is too early. Some receivers may not know the next key yet.']),
      );
      expect(refusals.get('withdraw')).toEqual(
        new Set(['It is too early. Tokens of the previous key may still be under way.']),
      );
      const [published, switched, withdrawn] = done.map(({ at }) => at);
      expect((switched ?? 0) - (published ?? 0)).toBeGreaterThanOrEqual(RELOAD + MAX_AGE);
      expect((withdrawn ?? 0) - (switched ?? 0)).toBeGreaterThanOrEqual(RELOAD + TOKEN + MAX_AGE);
      expect(services.keysCensusKnows).toEqual([next]);
      const target = '/user/the-old-key';
      expect(await services.callWith(old, target)).toBe('401 key_unknown');
    } finally {
      await services.close();
    }
  }, 240_000);
});

describe('rotate', () => {
  const folder = temporaryFolder();
  const key = createKey();
  const seconds = 1_800_000_000;
  let clock = seconds;
  let server: Awaited<ReturnType<typeof startKeyServer>>;
  let file = '';
  let files = 0;

  beforeAll(async () => {
    server = await startKeyServer(serveKeys([]));
  });
  afterAll(async () => {
    await server.close();
    folder.remove();
  });
  beforeEach(() => {
    clock = seconds;
    // What the file says, as the service would publish it.
    server.respond = (request, response) => {
      const keys = published(readFileSync(file, 'utf8'));
      serveKeys(keys, { 'cache-control': 'max-age=600' })(request, response);
    };
  });

  function published(text: string): object[] {
    const ring: Ring = text.startsWith('{')
      ? (JSON.parse(text) as Ring)
      : { current: createPrivateKey(text).export({ format: 'jwk' }) };
    return [ring.previous, ring.current, ring.next].flatMap((jwk) => {
      if (!jwk) return [];
      const bare = createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'jwk' });
      return [{ ...bare, kid: jwk['kid'], alg: jwk['alg'] ?? 'ES256', use: 'sig' }];
    });
  }

  function write(content: unknown): void {
    files += 1;
    file = folder.path(`key-${files}`);
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  }

  const rotate = async (step: string, ...more: string[]) => {
    const args = [step, file, '--jwks', server.url, '--reload-seconds', '1', ...more];
    return await run(() => clock * 1000, ...args);
  };
  const json = async (step: string, ...more: string[]) => {
    const { code, text } = await rotate(step, '--json', ...more);
    return { code, ...(JSON.parse(text) as Printed) };
  };

  const states: [string, () => Ring][] = [
    ['one key', () => ({ current: privateJwk(key) })],
    ['a next key', () => ({ current: privateJwk(key), next: privateJwk(createKey()) })],
    ['a previous key', () => ({ previous: privateJwk(createKey()), current: privateJwk(key) })],
  ];
  const [single, withNext, withPrevious] = states.map(([, make]) => make);

  it.each([
    ['switch', 'a next key', single, 'Run `rotate publish` first'],
    ['withdraw', 'a switch', withNext, 'Run `rotate switch` first'],
    ['publish', 'a withdrawal', withPrevious, 'Run `rotate withdraw` first'],
  ])('refuses to %s before %s', async (step, _what, make, words) => {
    write(make?.());
    const before = readFileSync(file, 'utf8');
    expect(await json(step)).toMatchObject({
      code: EXIT_CODES.failed,
      outcome: 'refused',
      message: expect.stringContaining(words) as string,
    });
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  it('says how many minutes are left, and takes the step when they are over', async () => {
    write(key.privatePem);
    expect(await rotate('publish')).toMatchObject({
      code: EXIT_CODES.ok,
      text: expect.stringMatching(
        /^publish: .*\nNext: `rotate switch`, in 10 min 1 s at the earliest\.\n$/,
      ) as string,
    });
    clock += 60;
    expect(await rotate('switch')).toEqual({
      code: EXIT_CODES.failed,
      text:
        'switch: It is too early. Some receivers may not know the next key yet.\n' +
        'Next: `rotate switch`, in 9 min 1 s at the earliest.\n',
    });
    clock += 540;
    expect((await rotate('switch')).code).toBe(EXIT_CODES.failed);
    clock += 1;
    expect(await rotate('switch')).toMatchObject({
      code: EXIT_CODES.ok,
      text: expect.stringContaining('Next: `rotate withdraw`, in 16 min 1 s') as string,
    });
    clock += 600 + TOKEN;
    expect((await rotate('withdraw')).code).toBe(EXIT_CODES.failed);
    clock += 1;
    expect(await rotate('withdraw')).toMatchObject({ code: EXIT_CODES.ok });
    expect(Object.keys(ringOf(file))).toEqual(['current']);
  });

  describe('of a service that makes grants', () => {
    const DAY = 86_400;
    const lifetime = ['--grant-lifetime-seconds', String(DAY)];
    const afterSwitch = async (...more: string[]) => {
      write(single?.());
      await rotate('publish');
      clock += 601;
      expect(await rotate('switch', ...more)).toMatchObject({ code: EXIT_CODES.ok });
    };
    const early = { code: EXIT_CODES.failed, message: expect.stringContaining('Grants') as string };

    it('publishes a key for as long as the grants live that it has signed', async () => {
      await afterSwitch(...lifetime);
      clock += 601 + TOKEN;
      expect(await json('withdraw')).toMatchObject(early);
      clock += DAY - 301;
      expect(await json('withdraw', ...lifetime)).toMatchObject(early);
      clock += 1;
      expect(await json('withdraw', ...lifetime)).toMatchObject({ code: EXIT_CODES.ok });
      expect(ringOf(file).previous).toBeUndefined();
    });

    it('waits for what it learns late, and remembers it', async () => {
      await afterSwitch();
      clock += 601 + TOKEN;
      expect(await json('withdraw', ...lifetime)).toMatchObject(early);
      expect(ringOf(file).previous).toMatchObject({ max_lifetime: DAY });
      expect(await json('withdraw')).toMatchObject(early);
      clock += DAY - 300;
      expect(await json('withdraw', ...lifetime)).toMatchObject({ code: EXIT_CODES.ok });
    });

    it('reads the lifetime from the options of the service', async () => {
      const config = folder.path('originating.mjs');
      const subjects = ['https://census.service/user/'];
      const options = { issuer: 'https://edge.service/', originate: { subjects } };
      writeFileSync(config, `export default ${JSON.stringify(options)};`);
      await afterSwitch('--config', config);
      expect(ringOf(file).previous).toMatchObject({ max_lifetime: DAY });
    });

    it('withdraws at once where it is told to, and only then', async () => {
      await afterSwitch(...lifetime);
      expect(await json('withdraw')).toMatchObject(early);
      expect(await json('withdraw', '--now')).toMatchObject({ code: EXIT_CODES.ok });
      expect(ringOf(file).previous).toBeUndefined();
      expect((await rotate('switch', '--now')).code).toBe(EXIT_CODES.usage);
    });

    it.each(['0', '604801', '1d', '-1'])('takes no lifetime of %s', async (written) => {
      write(single?.());
      const ran = await rotate('publish', `--grant-lifetime-seconds=${written}`);
      expect(ran.code).toBe(EXIT_CODES.usage);
    });
  });

  it('does a step that is done already no second time', async () => {
    write(key.privatePem);
    const waits: Record<string, number> = { publish: 601, switch: 601 + TOKEN, withdraw: 0 };
    for (const [step, wait] of Object.entries(waits)) {
      expect(await json(step)).toMatchObject({ code: EXIT_CODES.ok, outcome: 'done' });
      const after = readFileSync(file, 'utf8');
      expect(await json(step)).toMatchObject({ code: EXIT_CODES.ok, outcome: 'already' });
      expect(readFileSync(file, 'utf8')).toBe(after);
      clock += wait;
    }
  });

  it.each(['publish', 'switch', 'withdraw'])('changes nothing in a dry run of %s', async (step) => {
    write(key.privatePem);
    for (const before of ['publish', 'switch', 'withdraw']) {
      if (before === step) break;
      expect((await rotate(before)).code).toBe(EXIT_CODES.ok);
      clock += 601 + TOKEN;
    }
    const text = readFileSync(file, 'utf8');
    expect((await json(step, '--dry-run')).code).toBe(EXIT_CODES.ok);
    expect(readFileSync(file, 'utf8')).toBe(text);
    expect((await json(step)).code).toBe(EXIT_CODES.ok);
    expect(readFileSync(file, 'utf8')).not.toBe(text);
  });

  it('begins to wait where nobody can see since when a ring is there', async () => {
    write(withNext?.());
    expect(await json('switch')).toMatchObject({ code: EXIT_CODES.failed });
    clock += 601;
    expect(await json('switch')).toMatchObject({ code: EXIT_CODES.ok });
    write(withPrevious?.());
    expect(await json('withdraw')).toMatchObject({ code: EXIT_CODES.failed });
    clock += 601 + TOKEN;
    expect(await json('withdraw')).toMatchObject({ code: EXIT_CODES.ok });
  });

  it('does not switch to a key that the service does not publish', async () => {
    write(key.privatePem);
    await rotate('publish');
    clock += 601;
    const respond = server.respond;
    server.respond = serveKeys([jwkOf(key)]);
    expect(await json('switch')).toMatchObject({
      code: EXIT_CODES.failed,
      message: expect.stringContaining('does not publish the next key') as string,
    });
    server.respond = respond;
    expect(await json('switch')).toMatchObject({ code: EXIT_CODES.ok });
  });

  it('does not begin to wait before the service publishes the next key', async () => {
    write(key.privatePem);
    const respond = server.respond;
    server.respond = serveKeys([jwkOf(key)]);
    expect(await json('publish')).toMatchObject({
      code: EXIT_CODES.failed,
      message: expect.stringContaining('does not list it yet') as string,
    });
    const [first] = [ringOf(file).next];
    expect(first?.['nbf']).toBeUndefined();
    clock += 3600;
    server.respond = respond;
    expect(await json('publish')).toMatchObject({ code: EXIT_CODES.ok, next: first?.['kid'] });
    expect(ringOf(file).next).toMatchObject({ nbf: clock + 601 });
  });

  it.each([
    ['another service', () => serveKeys([jwkOf(createKey())])],
    ['nothing', () => serveText(404, 'nothing')],
  ])('touches no file where the URL has the keys of %s', async (_what, respond) => {
    write(key.privatePem);
    const own = server.respond;
    server.respond = respond();
    expect((await rotate('publish')).code).toBe(EXIT_CODES.impossible);
    expect(readFileSync(file, 'utf8')).toBe(key.privatePem);
    server.respond = own;
    expect((await rotate('publish')).code).toBe(EXIT_CODES.ok);
  });

  it('keeps the key id and the algorithm that the options of the service give', async () => {
    const rsa = createKey('PS256');
    write(rsa.privatePem);
    const words = { algorithm: 'PS256', keyId: 'herald-1' } as const;
    server.respond = (request, response) => {
      const keys = published(readFileSync(file, 'utf8'));
      const [first, ...others] = keys;
      const own = { ...first, alg: 'PS256', kid: 'herald-1' };
      serveKeys([own, ...others])(request, response);
    };
    expect(await json('publish')).toMatchObject({ code: EXIT_CODES.ok, current: 'herald-1' });
    expect(ringOf(file)).toMatchObject({
      current: { kid: 'herald-1', alg: 'PS256' },
      next: { alg: 'PS256' },
    });
    // The options need not change with the file.
    const service = await createServiceAuth({
      issuer: 'https://herald.service/',
      signingKey: { keyFile: file, ...words },
      targets: [{ baseUrl: 'https://census.service/' }],
    });
    const ids = service.publishedKeys()?.keys.map(({ kid }) => kid);
    service.close();
    expect(ids).toEqual(['herald-1', ringOf(file).next?.['kid']]);
  });

  it.each([
    ['no place of the keys', ['publish', 'x.pem']],
    ['an issuer that is no URL', ['publish', 'x.pem', '--issuer', 'herald']],
    ['an unknown step', ['undo', 'x.pem', '--issuer', 'https://herald.service/']],
    [
      'no seconds',
      ['publish', 'x.pem', '--issuer', 'https://herald.service/', '--reload-seconds', '0'],
    ],
  ])('takes %s for a wrong command line', async (_what, args) => {
    expect((await run(() => 0, ...args)).code).toBe(EXIT_CODES.usage);
  });
});
