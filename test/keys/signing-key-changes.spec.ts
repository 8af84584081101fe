import type { JsonWebKey } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { jest } from '@jest/globals';
import {
  createServiceAuth,
  type ServiceAuth,
  type ServiceAuthOptions,
} from 'nestjs-service-auth/core';
import { decodeHeader } from '../support/tokens/forge.js';
import { createKey, type TestKey } from '../support/keys/keys.js';
import { ObservedEvents } from '../support/observed/observed-events.js';

type SigningKey = NonNullable<ServiceAuthOptions['signingKey']>;

const CENSUS = 'https://census.service/';
const one = createKey();
const two = createKey('EdDSA');
const three = createKey();
const weak = createKey('RS256');

const root = mkdtempSync(join(tmpdir(), 'signing-key-changes-'));
afterAll(() => rmSync(root, { recursive: true }));

let folders = 0;
function folder(): string {
  const path = join(root, `folder-${folders++}`);
  mkdirSync(path);
  return path;
}

const privateJwk = (key: TestKey): JsonWebKey => key.privateKey.export({ format: 'jwk' });
const publicJwk = (key: TestKey): JsonWebKey => key.publicKey.export({ format: 'jwk' });
const ringFile = (members: Record<string, JsonWebKey>): string => JSON.stringify(members);

/** A service whose clock a test moves, and whose events it hears. */
class Herald {
  static async start(signingKey: SigningKey): Promise<Herald> {
    const clock = { now: Date.now() };
    const events = new ObservedEvents();
    const auth = await createServiceAuth({
      issuer: 'https://herald.service/',
      signingKey,
      targets: [{ baseUrl: CENSUS }],
      observer: events,
      now: () => clock.now,
    });
    return new Herald(auth, events, clock);
  }

  private constructor(
    readonly auth: ServiceAuth,
    readonly events: ObservedEvents,
    private readonly clock: { now: number },
  ) {}

  /** Moves the clock, and does what the service does every second. */
  pass(seconds: number): void {
    this.clock.now += seconds * 1000;
    this.auth.settings.sending?.signingKeys.refreshIfDue();
  }

  /** Lets time pass, and the key be looked at, until this was heard. */
  async heard(type: 'signing_keys_changed' | 'signing_keys_unusable'): Promise<void> {
    while (this.events.of(type).length === 0) {
      this.pass(60);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async signer(): Promise<unknown> {
    const request = { method: 'GET', url: CENSUS, headers: {}, body: new Uint8Array() };
    return decodeHeader((await this.auth.sign(request)) ?? '')['kid'];
  }

  get published(): string[] {
    return this.auth.publishedKeys()?.keys.map(({ kid }) => kid) ?? [];
  }
}

async function withHerald(
  signingKey: SigningKey,
  use: (herald: Herald) => Promise<void>,
): Promise<void> {
  const herald = await Herald.start(signingKey);
  try {
    await use(herald);
  } finally {
    herald.auth.close();
  }
}

/** Each way in which a deployment replaces a file, all at once or not. */
const WAYS: [string, (path: string, content: string) => void][] = [
  ['writing over it', (path, content) => writeFileSync(path, content)],
  [
    'an atomic rename',
    (path, content) => {
      writeFileSync(`${path}.new`, content);
      renameSync(`${path}.new`, path);
    },
  ],
  [
    'deleting and writing it',
    (path, content) => {
      rmSync(path);
      writeFileSync(path, content);
    },
  ],
  ['swapping the ..data link above it, as Kubernetes does', swapData],
];

let revisions = 0;
/** `key.pem -> ..data/key.pem`, `..data -> ..revision-1`: the link to the revision is renamed over the old one. */
function swapData(path: string, content: string): void {
  const above = dirname(path);
  const revision = `..revision-${revisions++}`;
  mkdirSync(join(above, revision));
  writeFileSync(join(above, revision, 'key.pem'), content);
  symlinkSync(revision, join(above, '..data_tmp'));
  renameSync(join(above, '..data_tmp'), join(above, '..data'));
  rmSync(path, { force: true });
  symlinkSync(join('..data', 'key.pem'), path);
}

describe('PF-04 a key file', () => {
  it.each(WAYS)('is followed through %s', async (_way, replace) => {
    const keyFile = join(folder(), 'key.pem');
    writeFileSync(keyFile, one.privatePem);
    replace(keyFile, one.privatePem);
    await withHerald({ keyFile }, async (herald) => {
      expect(await herald.signer()).toBe(one.keyId);
      replace(keyFile, two.privatePem);
      const changed = herald.events.next('signing_keys_changed');
      herald.pass(4);
      herald.pass(1);
      expect(await changed).toEqual({
        type: 'signing_keys_changed',
        keyId: two.keyId,
        publishedKeyIds: [two.keyId],
      });
      expect(await herald.signer()).toBe(two.keyId);
      expect(herald.published).toEqual([two.keyId]);
      expect(herald.events.of('signing_keys_unusable')).toEqual([]);
    });
  });

  it('is followed by the timer of the service alone', async () => {
    const keyFile = join(folder(), 'key.pem');
    writeFileSync(keyFile, one.privatePem);
    const events = new ObservedEvents();
    const auth = await createServiceAuth({
      issuer: 'https://herald.service/',
      signingKey: { keyFile, checkSeconds: 1 },
      targets: [{ baseUrl: CENSUS }],
      observer: events,
    });
    writeFileSync(`${keyFile}.new`, two.privatePem);
    const changed = events.next('signing_keys_changed');
    renameSync(`${keyFile}.new`, keyFile);
    expect(await changed).toMatchObject({ keyId: two.keyId });
    auth.close();
  });

  it('is followed back to the key it held at first', async () => {
    const keyFile = join(folder(), 'key.pem');
    writeFileSync(keyFile, one.privatePem);
    await withHerald({ keyFile }, async (herald) => {
      for (const key of [two, one, two]) {
        const changed = herald.events.next('signing_keys_changed');
        writeFileSync(keyFile, key.privatePem);
        herald.pass(5);
        await changed;
        expect(await herald.signer()).toBe(key.keyId);
      }
    });
  });

  it('takes a ring through a whole rotation', async () => {
    const keyFile = join(folder(), 'ring.json');
    writeFileSync(keyFile, one.privatePem);
    const steps: [Record<string, JsonWebKey>, string, string[]][] = [
      [{ current: privateJwk(one), next: privateJwk(two) }, one.keyId, [one.keyId, two.keyId]],
      [{ previous: publicJwk(one), current: privateJwk(two) }, two.keyId, [one.keyId, two.keyId]],
      [{ current: privateJwk(two) }, two.keyId, [two.keyId]],
      [{ current: privateJwk(two), next: publicJwk(three) }, two.keyId, [two.keyId, three.keyId]],
    ];
    await withHerald({ keyFile }, async (herald) => {
      for (const [members, signer, published] of steps) {
        writeFileSync(keyFile, ringFile(members));
        const changed = herald.events.next('signing_keys_changed');
        herald.pass(5);
        expect(await changed).toMatchObject({ keyId: signer, publishedKeyIds: published });
        expect(await herald.signer()).toBe(signer);
        expect(herald.published).toEqual(published);
      }
    });
  });
});

const write = (content: string | Uint8Array) => (path: string) => writeFileSync(path, content);
const bad: [string, (path: string) => void, RegExp][] = [
  ['empty', write(''), /keyFile/],
  ['half a PEM', write(two.privatePem.slice(0, 70)), /keyFile/],
  ['a PEM without its end', write(two.privatePem.slice(0, -20)), /keyFile/],
  ['half a JWK', write(JSON.stringify(privateJwk(two)).slice(0, -30)), /keyFile/],
  ['bytes of anything', write(Buffer.alloc(500, 0xfe)), /keyFile/],
  ['a public key', write(two.publicPem), /keyFile/],
  ['a key with the half of another', write(ringFile({ current: mixed(one, three) })), /current/],
  [
    'a ring with one key twice',
    write(ringFile({ current: privateJwk(two), next: publicJwk(two) })),
    /key id/,
  ],
  ['a ring with a bad next', write(ringFile({ current: privateJwk(two), next: {} })), /next/],
  ['a weak key', write(JSON.stringify({ ...privateJwk(weak), e: 'AQ' })), /keyFile/],
  ['deleted', (path) => rmSync(path), /keyFile: .*ENOENT/],
  ['a folder', (path) => (rmSync(path), mkdirSync(path)), /keyFile: .*EISDIR/],
  ['a link to itself', (path) => (rmSync(path), symlinkSync(path, path)), /keyFile: .*ELOOP/],
];

function mixed(key: TestKey, other: TestKey): JsonWebKey {
  return { ...publicJwk(other), d: privateJwk(key).d };
}

describe('PF-05 a key file that is no good leaves the old key, and is reported', () => {
  const secrets = [two, one, three].flatMap((key) => [
    privateJwk(key).d?.slice(0, 16) ?? '',
    key.privatePem.split('\n')[1]?.slice(0, 40) ?? '',
  ]);

  it.each(bad)('when it is %s', async (_case, spoil, reason) => {
    const keyFile = join(folder(), 'key.pem');
    writeFileSync(keyFile, one.privatePem);
    await withHerald({ keyFile }, async (herald) => {
      const alarm = herald.events.next('signing_keys_unusable');
      spoil(keyFile);
      herald.pass(5);
      const { reason: said } = await alarm;
      expect(said).toMatch(reason);
      for (const secret of secrets) expect(said).not.toContain(secret);
      expect(await herald.signer()).toBe(one.keyId);
      expect(herald.published).toEqual([one.keyId]);

      rmSync(keyFile, { recursive: true, force: true });
      writeFileSync(keyFile, two.privatePem);
      // Looks that see the same trouble again say nothing; the repaired file is taken up.
      await herald.heard('signing_keys_changed');
      expect(herald.events.of('signing_keys_unusable')).toHaveLength(1);
      expect(await herald.signer()).toBe(two.keyId);
    });
  });

  // The superuser may read everything.
  const isSuperuser = process.getuid?.() === 0;
  it(`when it may not be read${isSuperuser ? ' (by others than the superuser)' : ''}`, async () => {
    const keyFile = join(folder(), 'key.pem');
    writeFileSync(keyFile, one.privatePem);
    await withHerald({ keyFile }, async (herald) => {
      const heard = herald.events.next(
        isSuperuser ? 'signing_keys_changed' : 'signing_keys_unusable',
      );
      writeFileSync(keyFile, two.privatePem);
      chmodSync(keyFile, 0);
      herald.pass(5);
      expect(await heard).toBeDefined();
      expect(await herald.signer()).toBe(isSuperuser ? two.keyId : one.keyId);
    });
  });

  it('once for each trouble, and again when it returns', async () => {
    const keyFile = join(folder(), 'key.pem');
    writeFileSync(keyFile, one.privatePem);
    await withHerald({ keyFile }, async (herald) => {
      const spoilings = [rmSync, write(''), rmSync, (path: string) => write('')(path)];
      for (const spoil of spoilings) {
        const alarm = herald.events.next('signing_keys_unusable');
        spoil(keyFile);
        herald.pass(5);
        await alarm;
      }
      writeFileSync(keyFile, two.privatePem);
      await herald.heard('signing_keys_changed');
      expect(herald.events.of('signing_keys_unusable')).toHaveLength(4);
    });
  });
});

describe('a function', () => {
  it('is asked again every minute, and what it gives is taken up', async () => {
    let answer = one;
    let asked = 0;
    const signingKey = async () => {
      asked++;
      return { privateKey: answer.privatePem };
    };
    await withHerald(signingKey, async (herald) => {
      expect(asked).toBe(1);
      herald.pass(59);
      expect(asked).toBe(1);
      answer = two;
      const changed = herald.events.next('signing_keys_changed');
      herald.pass(1);
      await changed;
      expect(asked).toBe(2);
      expect(await herald.signer()).toBe(two.keyId);
    });
  });

  it('is not asked twice at once, nor after the service has ended', async () => {
    let asked = 0;
    let give: (() => void) | undefined;
    const signingKey = async () => {
      if (asked++ > 0) await new Promise<void>((resolve) => (give = resolve));
      return { privateKey: asked === 1 ? one.privatePem : two.privatePem };
    };
    await withHerald(signingKey, async (herald) => {
      herald.pass(60);
      herald.pass(60);
      expect(asked).toBe(2);
      herald.auth.close();
      give?.();
      for (let look = 0; look < 100; look++) {
        herald.pass(60);
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(asked).toBe(2);
      expect(herald.events.all).toEqual([]);
      await expect(herald.signer()).rejects.toMatchObject({ code: 'service_closed' });
    });
  });

  /** Answers as it is told, once for each look. */
  function inTurn(answers: readonly (() => unknown)[]) {
    let looks = 0;
    const read = async () => await answers[Math.min(looks++, answers.length - 1)]?.();
    return { signingKey: read as SigningKey, hasLooked: (times: number) => looks > times };
  }
  const pem = (key: TestKey) => () => ({ privateKey: key.privatePem });
  const inOtherWords = (key: TestKey) => () => ({ current: { privateKey: privateJwk(key) } });
  const fail = () => Promise.reject(new TypeError('x'));
  const failOtherwise = () => Promise.reject(new RangeError('x'));
  const turns: [string, (() => unknown)[], string[]][] = [
    ['the same key', [pem(one), pem(one)], []],
    ['the same key in other words', [pem(one), inOtherWords(one)], []],
    ['another key', [pem(one), pem(two)], ['changed']],
    ['another key, and the first again', [pem(one), pem(two), pem(one)], ['changed', 'changed']],
    ['one trouble for long', [pem(one), fail, fail, fail], ['unusable']],
    ['two troubles', [pem(one), fail, failOtherwise, fail], Array(3).fill('unusable') as string[]],
    ['a trouble that returns', [pem(one), fail, pem(one), fail], ['unusable', 'unusable']],
    ['a trouble between', [pem(one), fail, pem(two)], ['unusable', 'changed']],
  ];
  it.each(turns)('that gives %s is reported so', async (_case, answers, said) => {
    const { signingKey, hasLooked } = inTurn(answers);
    await withHerald(signingKey, async (herald) => {
      // One look more: when it begins, the last one that counts has ended.
      while (!hasLooked(answers.length)) {
        herald.pass(60);
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(herald.events.all.map(({ type }) => type)).toEqual(
        said.map((what) => `signing_keys_${what}`),
      );
    });
  });

  const SECRET = 'hunter2-hunter2';
  const troubles: [string, () => unknown, RegExp][] = [
    ['rejects', () => Promise.reject(new Error(SECRET)), /failed \(Error\)/],
    ['rejects with no error', () => Promise.reject(SECRET as never), /failed/],
    ['cannot read what it got', async () => JSON.parse(SECRET) as unknown, /SyntaxError/],
    ['gives nothing', async () => undefined, /privateKey/],
    ['gives a broken key', async () => ({ privateKey: SECRET }), /privateKey/],
  ];
  it.each(troubles)('that %s leaves the old key, and is reported', async (_case, fail, reason) => {
    let answer: () => unknown = async () => ({ privateKey: one.privatePem });
    await withHerald((() => answer()) as SigningKey, async (herald) => {
      answer = fail;
      const alarm = herald.events.next('signing_keys_unusable');
      herald.pass(60);
      const { reason: said } = await alarm;
      expect(said).toMatch(reason);
      expect(said).not.toContain(SECRET);
      expect(await herald.signer()).toBe(one.keyId);
      answer = async () => ({ privateKey: two.privatePem });
      await herald.heard('signing_keys_changed');
      expect(await herald.signer()).toBe(two.keyId);
    });
  });

  describe('that never answers', () => {
    const never = async () => await new Promise<never>(() => undefined);
    beforeEach(() => jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'Date'] }));
    afterEach(() => jest.useRealTimers());

    it('does not keep the service from failing to start', async () => {
      const starting = Herald.start(never).catch((error: unknown) => String(error));
      await jest.advanceTimersByTimeAsync(10_000);
      expect(await starting).toMatch(/signingKey.*10 seconds/s);
    });

    it('is given up, reported, and asked again', async () => {
      let answer: () => Promise<{ privateKey: string }> = async () => ({
        privateKey: one.privatePem,
      });
      await withHerald(
        () => answer(),
        async (herald) => {
          answer = never;
          const alarm = herald.events.next('signing_keys_unusable');
          herald.pass(60);
          await jest.advanceTimersByTimeAsync(10_000);
          expect((await alarm).reason).toContain('10 seconds');
          expect(await herald.signer()).toBe(one.keyId);
          answer = async () => ({ privateKey: two.privatePem });
          await herald.heard('signing_keys_changed');
          expect(await herald.signer()).toBe(two.keyId);
        },
      );
    });
  });
});
