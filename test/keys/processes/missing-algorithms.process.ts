// A process whose crypto library lacks algorithms, and what services in it come to. Argument: how it
// lacks them. `openssl`: OpenSSL is asked for what a FIPS provider has, and there is none, so that it
// has nothing. `fips`: MD5 and Ed25519 fail as they do in OpenSSL, all else works. `none`: nothing fails.
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import type { IncomingRequest, ServiceAuthOptions } from 'nestjs-service-auth/core';
import { forge, md5, sha256 } from '../../support/tokens/forge.js';
import { createKey } from '../../support/keys/keys.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const BODY = '{"name":"x"}';
const keys = { ES256: createKey(), Ed25519: createKey('Ed25519'), RS256: createKey('RS256') };
// Signed while everything works: the peer is another process.
const originalTokens = [md5(BODY), sha256(BODY)].map((bdy) =>
  forge(
    { alg: 'ES256', typ: 'JWT' },
    { iss: HERALD, aud: CENSUS, sub: `${CENSUS}user/21/`, bdy },
    keys.ES256,
  ),
);

function unsupported(): never {
  const message = 'error:0308010C:digital envelope routines::unsupported';
  throw Object.assign(new Error(message), { code: 'ERR_OSSL_EVP_UNSUPPORTED' });
}

/** Lets calls through unless they are for MD5 or with an Ed25519 key. */
function restrict(name: 'hash' | 'createHash' | 'sign' | 'verify'): void {
  const original = crypto[name] as (...args: unknown[]) => unknown;
  const isMissing = (value: unknown): boolean =>
    value === 'md5' || (value instanceof crypto.KeyObject && value.asymmetricKeyType === 'ed25519');
  const restricted = (...args: unknown[]): unknown =>
    args.some(isMissing) ? unsupported() : original(...args);
  Object.assign(crypto, { [name]: restricted });
}

const [lack] = process.argv.slice(2);
if (lack === 'openssl') crypto.setFips(true);
if (lack === 'fips') {
  for (const name of ['hash', 'createHash', 'sign', 'verify'] as const) restrict(name);
  syncBuiltinESMExports();
}
const { createServiceAuth, ServiceAuthConfigError, ServiceAuthError } =
  await import('nestjs-service-auth/core');

/** `ok`, the problems of the configuration, the code of a refusal, or the name of any other error. */
async function outcome(work: () => Promise<unknown>): Promise<unknown> {
  try {
    await work();
    return 'ok';
  } catch (error) {
    if (error instanceof ServiceAuthConfigError) return error.problems;
    return error instanceof ServiceAuthError ? error.code : String(error);
  }
}

const start = async (options: Partial<ServiceAuthOptions>) => {
  const service = await createServiceAuth({ issuer: CENSUS, ...options });
  service.close();
  return service;
};
const request = (token: string): IncomingRequest => ({
  method: 'POST',
  target: '/',
  rawHeaders: ['JWT', token, 'Content-Type', 'application/json'],
  body: Buffer.from(BODY),
});

async function callItself(): Promise<void> {
  const { privateKey, publicKey } = keys.ES256;
  const service = await createServiceAuth({
    issuer: CENSUS,
    signingKey: { privateKey },
    targets: [{ baseUrl: CENSUS }],
    trustedIssuers: [{ issuer: CENSUS, publicKey }],
  });
  const headers = { 'content-type': 'application/json' };
  const body = Buffer.from(BODY);
  const token = await service.sign({ method: 'POST', url: CENSUS, headers, body });
  await service.verify(request(token ?? ''));
  service.close();
}

async function receiveOriginal(token: string | undefined): Promise<void> {
  const { publicKey } = keys.ES256;
  const trustedIssuers = [{ issuer: HERALD, publicKey, profile: 'original' as const }];
  await (await start({ trustedIssuers })).verify(request(token ?? ''));
}

const results: Record<string, unknown> = {};
for (const [name, { publicKey, privateKey }] of Object.entries(keys)) {
  const trustedIssuers = [{ issuer: HERALD, publicKey }];
  results[`trusting ${name}`] = await outcome(async () => await start({ trustedIssuers }));
  const signing = { signingKey: { privateKey }, targets: [{ baseUrl: HERALD }] };
  results[`signing ${name}`] = await outcome(async () => await start(signing));
}
results['calling itself'] = await outcome(callItself);
results['sending the original profile'] = await outcome(
  async () =>
    await start({
      signingKey: { privateKey: keys.ES256.privateKey },
      targets: [{ baseUrl: HERALD, profile: 'original' }],
    }),
);
const [withMd5, withSha256] = originalTokens;
results['receiving MD5'] = await outcome(async () => await receiveOriginal(withMd5));
results['receiving SHA-256'] = await outcome(async () => await receiveOriginal(withSha256));
process.send?.(results);
process.disconnect?.();
