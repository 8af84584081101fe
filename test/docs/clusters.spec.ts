import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { parse } from 'yaml';
import { createKey } from '../support/keys/keys.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { readBlocks } from './page-blocks.mjs';

const blocks = readBlocks('docs/clusters.md');
const [snippet = ''] = blocks.filter(({ language }) => language === 'ts').map(({ code }) => code);
const keyFile = /keyFile: '([^']+)'/.exec(snippet)?.[1] ?? '';
const folderOfKey = dirname(keyFile);
// As kubectl reads it: 0440 is an octal number.
const [compose, deployment] = blocks
  .filter(({ language }) => language === 'yaml')
  .map(({ code }) => parse(code, { version: '1.1', uniqueKeys: true }) as unknown);

describe('docs/clusters.md', () => {
  it('mounts with Compose the folder of the key, and keeps uses of tokens in a Redis that evicts none', () => {
    expect(compose).toEqual({
      services: {
        herald: { image: 'herald', volumes: [`./secrets/herald:${folderOfKey}:ro`] },
        census: {
          image: 'census',
          environment: { REDIS_URL: 'redis://redis:6379' },
          deploy: { replicas: 2 },
        },
        redis: {
          image: expect.stringMatching(/^redis:/) as string,
          command: expect.stringContaining('--maxmemory-policy noeviction') as string,
        },
      },
    });
    // Each address is the name of a service.
    const hosts = [...snippet.matchAll(/'http:\/\/(\w+):/g)].map(([, host]) => host);
    expect(Object.keys((compose as { services: object }).services)).toEqual(
      expect.arrayContaining([...hosts, 'redis']),
    );
  });

  it('mounts with Kubernetes the secret as the folder of the key, readable by the group, and no subPath', () => {
    const labels = { app: 'herald' };
    expect(deployment).toEqual({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'herald' },
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            securityContext: { fsGroup: 1000 },
            containers: [
              {
                name: 'herald',
                image: 'herald',
                ports: [{ containerPort: 3000 }],
                volumeMounts: [{ name: 'key', mountPath: folderOfKey, readOnly: true }],
                livenessProbe: { tcpSocket: { port: 3000 } },
              },
            ],
            volumes: [{ name: 'key', secret: { secretName: 'herald', defaultMode: 0o440 } }],
          },
        },
      },
    });
  });
});

describe('a running service whose key is mounted', () => {
  const keep = closeAfterEach();
  const root = mkdtempSync(join(tmpdir(), 'clusters-'));
  afterAll(() => rmSync(root, { recursive: true }));
  const [before, after] = [createKey(), createKey()];

  let mounts = 0;
  /** A secret as the kubelet writes it: what is seen are links through `..data`, which it swaps. */
  function mountSecret() {
    const folder = join(root, `mount-${mounts++}`);
    const write = (name: string, pem: string): void => {
      mkdirSync(join(folder, name), { recursive: true });
      writeFileSync(join(folder, name, 'key.pem'), pem);
    };
    write('..2026_1', before.privatePem);
    symlinkSync('..2026_1', join(folder, '..data'));
    symlinkSync(join('..data', 'key.pem'), join(folder, 'key.pem'));
    return {
      file: join(folder, 'key.pem'),
      swap: (): void => {
        write('..2026_2', after.privatePem);
        symlinkSync('..2026_2', join(folder, '..data_tmp'));
        renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
        rmSync(join(folder, '..2026_1'), { recursive: true });
      },
    };
  }

  /** A file as Compose mounts it alone, or Kubernetes with `subPath`: the inode of the start, by another name. */
  function mountAlone(file: string): string {
    const alone = join(root, `alone-${mounts++}.pem`);
    linkSync(file, alone);
    return alone;
  }

  async function startHerald(keyFileHere: string) {
    const events = new ObservedEvents();
    const service = keep(
      await createServiceAuth({
        issuer: 'https://herald.service/',
        signingKey: { keyFile: keyFileHere, checkSeconds: 1 },
        targets: [{ baseUrl: 'https://census.service/' }],
        observer: events,
      }),
    );
    return { service, events };
  }

  it('signs with the new key once ..data is swapped; one of a file that is mounted alone does not', async () => {
    const secret = mountSecret();
    const fileAlone = mountAlone(join(dirname(secret.file), '..2026_1', 'key.pem'));
    const alone = await startHerald(fileAlone);
    const herald = await startHerald(secret.file);
    const changed = herald.events.next('signing_keys_changed');
    secret.swap();
    expect((await changed).keyId).toBe(after.keyId);
    expect(herald.service.sending.signingKeys.current().keyId).toBe(after.keyId);
    expect(readFileSync(fileAlone, 'utf8')).toBe(before.privatePem);
    expect(alone.service.sending.signingKeys.current().keyId).toBe(before.keyId);
    // It would have followed: it does where the file itself is written.
    const changedAlone = alone.events.next('signing_keys_changed');
    writeFileSync(fileAlone, after.privatePem);
    expect((await changedAlone).keyId).toBe(after.keyId);
  });

  it('signs with the new key once another file is renamed over it in a mounted folder', async () => {
    const folder = join(root, 'compose');
    mkdirSync(folder);
    const file = join(folder, 'key.pem');
    writeFileSync(file, before.privatePem);
    const herald = await startHerald(file);
    const changed = herald.events.next('signing_keys_changed');
    writeFileSync(`${file}.new`, after.privatePem);
    renameSync(`${file}.new`, file);
    expect((await changed).keyId).toBe(after.keyId);
    expect(herald.events.of('signing_keys_unusable')).toEqual([]);
  });
});
