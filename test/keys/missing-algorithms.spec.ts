import { fork } from 'node:child_process';
import { once } from 'node:events';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';

const PROCESS = 'test/keys/processes/missing-algorithms.process.ts';

describe('PF-11 a process whose crypto library lacks algorithms', () => {
  let project: CompiledProject;
  beforeAll(() => {
    project = compileProject([PROCESS]);
  });
  afterAll(() => project.remove());

  async function outcomes(lack: 'none' | 'fips' | 'openssl'): Promise<Record<string, unknown>> {
    const child = fork(project.path(PROCESS), [lack], { timeout: 25_000 });
    const [results] = (await once(child, 'message')) as [Record<string, unknown>];
    return results;
  }

  const cannotUse = (field: string): string[] => [
    `${field}: write a key of another kind: this process cannot use it (FIPS mode?)`,
  ];
  const EVERYTHING = {
    'trusting ES256': 'ok',
    'signing ES256': 'ok',
    'trusting Ed25519': 'ok',
    'signing Ed25519': 'ok',
    'trusting RS256': 'ok',
    'signing RS256': 'ok',
    'calling itself': 'ok',
    'sending the original profile': 'ok',
    'receiving MD5': 'ok',
    'receiving SHA-256': 'ok',
  };

  it('does everything where it lacks none', async () => {
    expect(await outcomes('none')).toEqual(EVERYTHING);
  });

  it('without MD5 and Ed25519 says so at start, and does everything else', async () => {
    expect(await outcomes('fips')).toEqual({
      ...EVERYTHING,
      'trusting Ed25519': cannotUse('trustedIssuers[0].publicKey'),
      'signing Ed25519': cannotUse('signingKey.privateKey'),
      'sending the original profile': [
        'targets[0].profile: write another: this process has no md5 (FIPS mode?)',
      ],
      'receiving MD5': 'body_unverifiable',
    });
  });

  it('without any does not start with any key', async () => {
    const results = await outcomes('openssl');
    for (const name of ['ES256', 'Ed25519', 'RS256']) {
      expect(results[`trusting ${name}`]).toEqual(cannotUse('trustedIssuers[0].publicKey'));
      expect(results[`signing ${name}`]).toEqual(cannotUse('signingKey.privateKey'));
    }
    expect(results['calling itself']).not.toBe('ok');
  });
});
