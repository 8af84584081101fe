import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServiceAuth, type ServiceAuth } from 'nestjs-service-auth/core';
import { readBlocks } from './page-blocks.mjs';

const HERALD = 'https://herald.service/';
const targets = [{ baseUrl: 'https://census.service/' }];

/** Runs a piece of a page as a reader would, in the folder. */
function runIn(folder: string, script: string): void {
  const { status, stderr } = spawnSync('bash', ['--norc', '-euo', 'pipefail', '-c', script], {
    cwd: folder,
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
}

const runBlock = (page: string): string =>
  readBlocks(page).find(({ role }) => role === 'run')?.code ?? '';

describe('what the pages tell readers to type', () => {
  let folder: string;
  const services: ServiceAuth[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shell-'));
  });

  afterEach(() => {
    for (const service of services.splice(0)) service.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The `x` of the key that signs with a key file, and of those it publishes. */
  const look = async (file: string) => {
    const signingKey = { keyFile: join(folder, file) };
    const service = await createServiceAuth({ issuer: HERALD, signingKey, targets });
    services.push(service);
    const { baseUrl: url } = targets[0]!;
    const token = await service.sign({ method: 'GET', url, headers: {}, body: new Uint8Array() });
    const header = Buffer.from(token?.split('.')[0] ?? '', 'base64url').toString();
    const { kid } = JSON.parse(header) as { kid: string };
    const keys = service.publishedKeys()?.keys ?? [];
    const signs = keys.find((key) => key.kid === kid)?.['x'];
    return { kid, signs, published: keys.map((key) => key['x']) };
  };

  it('makes a key that signs, README.md', async () => {
    runIn(folder, runBlock('README.md'));
    const { signs, published } = await look('herald.private.pem');
    expect(published).toEqual([signs]);
  });
});
