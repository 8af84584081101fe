import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeySourceHealth } from 'nestjs-service-auth/core';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { jwkOf, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { closeAfterEach, HERALD } from '../support/services/receiver.js';
import { selfSign } from '../support/keys/self-signed.js';

const PROCESS = 'test/keys/processes/key-health.process.ts';
const key = createKey();
const serverKey = createKey();
const keep = closeAfterEach();

describe('a key server with a certificate that is vouched for', () => {
  const folder = mkdtempSync(join(tmpdir(), 'certificates-'));
  let project: CompiledProject;
  beforeAll(() => {
    project = compileProject([PROCESS]);
  });
  afterAll(() => {
    project.remove();
    rmSync(folder, { recursive: true });
  });

  /** How the keys stand in a process that trusts this certificate. */
  async function healthBehind(cert: string): Promise<KeySourceHealth & { hits: number }> {
    const tls = { key: serverKey.privatePem, cert };
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)]), tls));
    const trusted = join(folder, 'trusted.pem');
    writeFileSync(trusted, cert);
    const jwksUri = server.url.replace('127.0.0.1', 'localhost');
    const child = fork(project.path(PROCESS), [HERALD, jwksUri], {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: trusted },
      timeout: 25_000,
    });
    const [health] = (await once(child, 'message')) as [KeySourceHealth];
    return { ...health, hits: server.hits };
  }

  it('JF-11 is fetched from while it is valid', async () => {
    const health = await healthBehind(selfSign(serverKey, { name: 'localhost' }));
    expect(health).toMatchObject({ status: 'fresh', keyIds: [key.keyId], hits: 1 });
  });

  it.each<[string, string, Parameters<typeof selfSign>[1]]>([
    ['has expired', 'CERT_HAS_EXPIRED', { name: 'localhost', days: [-2, -1] }],
    ['is not valid yet', 'CERT_NOT_YET_VALID', { name: 'localhost', days: [1, 2] }],
    [
      'is for another host (KL-21: a name that was pointed elsewhere)',
      'ERR_TLS_CERT_ALTNAME_INVALID',
      { name: 'keys.service' },
    ],
  ])('JF-11 is a failed fetch when it %s', async (_case, reason, parts) => {
    expect(await healthBehind(selfSign(serverKey, parts))).toMatchObject({
      status: 'unavailable',
      hits: 0,
      lastError: `the key server cannot be reached (${reason})`,
    });
  });
});
