// Key sets between this library and tools that share no code with it. Needs a build:
//   npm run build && node test/keys/foreign-keys.mjs
import 'reflect-metadata';
import { execFile, spawnSync } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ServiceAuth, ServiceAuthModule } from 'nestjs-service-auth';
import { createServiceAuth } from 'nestjs-service-auth/core';

/** @typedef {import('nestjs-service-auth').SigningKeyRingOptions} Ring */
/** @typedef {import('@nestjs/platform-fastify').NestFastifyApplication} NestFastifyApplication */
/** @typedef {{ ok: boolean, output: string }} Outcome */
/** @typedef {Record<string, unknown>} Json */

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const KEYS = '/.well-known/jwks.json';
const REQUEST = {
  method: 'GET',
  url: `${CENSUS}user/21`,
  headers: {},
  body: new Uint8Array(),
  subject: USER,
};
const PATIENCE_MILLISECONDS = 30_000;
const outcomes = { passed: 0, failed: 0 };
const folder = mkdtempSync(join(tmpdir(), 'foreign-keys-'));

const PYTHON_CLIENT = `
import json, sys, jwt
url, token, algorithm, audience = sys.argv[1:]
try:
    key = jwt.PyJWKClient(url).get_signing_key_from_jwt(token)
    print(json.dumps([key.key_id, jwt.decode(token, key.key, algorithms=[algorithm], audience=audience)]))
except jwt.PyJWTError as error:
    sys.exit(type(error).__name__)
`;

try {
  await testInjection();
  const python = findPython();
  if (python) await testPyJwt(python);
  else skip('no Python with PyJWT: set PYTHON, or install python3-jwt');
  if (spawnSync('jose', ['alg']).status === 0) await testJoseTool();
  else skip('no `jose`: install the package jose of Debian');
} catch (error) {
  fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
} finally {
  rmSync(folder, { recursive: true });
}
console.log(`${outcomes.passed} passed, ${outcomes.failed} failed`);
if (outcomes.failed > 0) process.exitCode = 1;

/** Jest on Node 20 cannot load what Fastify injects requests with. */
async function testInjection() {
  await withHerald(new FastifyAdapter(), ringOf('ES256'), async ({ app }) => {
    const fastify = /** @type {NestFastifyApplication} */ (app);
    const { statusCode, headers, body } = await fastify.inject({ method: 'GET', url: KEYS });
    check('inject: the published set', statusCode === 200 && body.includes('"keys"'), body);
    const known = await fastify.inject({
      method: 'GET',
      url: KEYS,
      headers: { 'if-none-match': String(headers.etag) },
    });
    check('inject: 304 for who knows it', known.statusCode === 304 && known.body === '', known);
  });
}

/**
 * PyJWT finds the key of a token by its kid in the set that we publish.
 *
 * @param {string} python
 */
async function testPyJwt(python) {
  for (const [algorithm, adapter] of /** @type {const} */ ([
    ['ES256', new ExpressAdapter()],
    ['ES512', new FastifyAdapter()],
    ['EdDSA', new ExpressAdapter()],
    ['RS256', new FastifyAdapter()],
  ])) {
    const ring = ringOf(algorithm);
    await withHerald(adapter, ring, async ({ url, token, kid }) => {
      /** @type {(signed: string, audience?: string) => Promise<Outcome>} */
      const verify = (signed, audience = CENSUS) =>
        run(python, ['-c', PYTHON_CLIENT, url + KEYS, signed, algorithm, audience]);
      const good = await verify(token);
      const [keyId, claims] = good.ok ? readList(good.output) : [];
      const isOurs = keyId === kid && memberOf(claims, 'sub') === USER;
      check(`PyJWKClient: our ${algorithm} token by its kid`, isOurs, good);
      const elsewhere = await verify(token, HERALD);
      check(
        `PyJWKClient: not for another audience`,
        isError(elsewhere, 'InvalidAudience'),
        elsewhere,
      );
      const stranger = await tokenOf({ current: { privateKey: privateKeyFor(algorithm) } });
      const unknown = await verify(stranger);
      check(`PyJWKClient: no key that is not published`, isError(unknown, 'PyJWKClient'), unknown);
      const current = { privateKey: privateKeyFor(algorithm), keyId: kid };
      const forged = await verify(await tokenOf({ current }));
      check(`PyJWKClient: no other key of that kid`, isError(forged, 'InvalidSignature'), forged);
    });
  }
}

/** Latchset's jose makes keys, sets and tokens, and reads ours. */
async function testJoseTool() {
  const names = ['ES256', 'ES384', 'ES512', 'RS256', 'PS256'];
  const template = { keys: names.map((alg) => ({ alg, kid: `${alg}-key` })) };
  const privateSet = await jose('jwk', 'gen', '-i', JSON.stringify(template));
  const publicSet = await jose('jwk', 'pub', '-s', '-i', write(privateSet));
  await withCensus(publicSet, async (verify) => {
    for (const jwk of readKeys(privateSet)) {
      const [alg, kid] = [String(jwk['alg']), String(jwk['kid'])];
      const seen = await verify(await joseToken(jwk, kid));
      check(`jose: its set, its ${alg} token`, seen === kid, seen);
      const other = readObject(await jose('jwk', 'gen', '-i', JSON.stringify({ alg })));
      const refused = await verify(await joseToken(other, kid));
      check(`jose: no other ${alg} key of that kid`, refused === 'signature_invalid', refused);
    }
  });
  const [nameless] = readKeys(await jose('jwk', 'gen', '-s', '-i', '{"alg":"ES256"}'));
  const thumbprint = await jose('jwk', 'thp', '-a', 'S256', '-i', write(nameless));
  const namelessSet = await jose('jwk', 'pub', '-s', '-i', write({ keys: [nameless] }));
  await withCensus(namelessSet, async (verify) => {
    const seen = await verify(await joseToken(nameless ?? {}, thumbprint));
    check('jose: a key without kid goes by its thumbprint', seen === thumbprint, seen);
  });
  await withCensus(privateSet, async (verify) => {
    const [jwk = {}] = readKeys(privateSet);
    const seen = await verify(await joseToken(jwk, String(jwk['kid'])));
    check('jose: its set with the private halves is not used', seen === 'key_unavailable', seen);
  });
  await testJoseReadsOurs();
}

async function testJoseReadsOurs() {
  for (const algorithm of /** @type {const} */ (['ES256', 'ES384', 'RS256'])) {
    await withHerald(new ExpressAdapter(), ringOf(algorithm), async ({ url, token, kid }) => {
      const set = await (await fetch(url + KEYS)).text();
      const key = readKeys(set).find((jwk) => jwk['kid'] === kid);
      check(
        'jose: our kid is its thumbprint',
        (await jose('jwk', 'thp', '-i', write(key))) === kid,
      );
      const payload = join(folder, randomUUID());
      const args = ['jws', 'ver', '-O', payload, '-k', write(set), '-i', write(token)];
      const good = await run('jose', args);
      const isOurs = good.ok && readObject(readFileSync(payload, 'utf8'))['sub'] === USER;
      check(`jose: our set, our ${algorithm} token`, isOurs, good);
      const stranger = await tokenOf({ current: { privateKey: privateKeyFor(algorithm) } });
      const refused = await run('jose', ['jws', 'ver', '-k', write(set), '-i', write(stranger)]);
      check(`jose: our set, no token of a stranger`, !refused.ok, refused);
    });
  }
}

/** @param {'ES256' | 'ES384' | 'ES512' | 'EdDSA' | 'RS256'} algorithm */
function privateKeyFor(algorithm) {
  const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };
  if (algorithm === 'EdDSA') return generateKeyPairSync('ed25519').privateKey;
  if (algorithm === 'RS256') return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  return generateKeyPairSync('ec', { namedCurve: curves[algorithm] }).privateKey;
}

/**
 * A set of three keys, so that the right one has to be found.
 *
 * @param {Parameters<typeof privateKeyFor>[0]} algorithm
 * @returns {Ring}
 */
function ringOf(algorithm) {
  const [previous, current, next] = ['ES256', algorithm, 'RS256'];
  const keyOf = (/** @type {string} */ name) => ({
    privateKey: privateKeyFor(/** @type {typeof algorithm} */ (name)),
  });
  return { previous: keyOf(previous), current: keyOf(current), next: keyOf(next) };
}

/** @param {Ring} signingKey */
function optionsOf(signingKey) {
  return { issuer: HERALD, signingKey, targets: [{ baseUrl: CENSUS }] };
}

/** @param {Ring} ring */
async function tokenOf(ring) {
  const auth = await createServiceAuth(optionsOf(ring));
  const token = await auth.sign(REQUEST);
  auth.close();
  return token ?? '';
}

/**
 * A running service that publishes its keys, and a token it signed.
 *
 * @param {ExpressAdapter | FastifyAdapter} adapter
 * @param {Ring} ring
 * @param {(herald: { app: import('@nestjs/common').INestApplication, url: string, token: string, kid: string }) => Promise<void>} use
 */
async function withHerald(adapter, ring, use) {
  class HeraldModule {}
  Module({ imports: [ServiceAuthModule.forRoot(optionsOf(ring))] })(HeraldModule);
  const app = await NestFactory.create(HeraldModule, adapter, { logger: false });
  await app.listen(0, '127.0.0.1');
  try {
    const auth = app.get(ServiceAuth);
    const kid = auth.settings.sending?.signingKeys.current().keyId ?? '';
    await use({ app, url: await app.getUrl(), token: (await auth.sign(REQUEST)) ?? '', kid });
  } finally {
    await app.close();
  }
}

/**
 * A receiver that fetches these very bytes. `verify` answers the key id of a good token, or the code.
 *
 * @param {string} set
 * @param {(verify: (token: string) => Promise<string>) => Promise<void>} use
 */
async function withCensus(set, use) {
  const server = createServer((_request, response) => response.end(set));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const jwksUri = `http://127.0.0.1:${port}/set`;
  const auth = await createServiceAuth({
    issuer: CENSUS,
    trustedIssuers: [{ issuer: HERALD, jwksUri }],
  });
  try {
    await use(async (token) => {
      const received = { method: 'GET', target: '/user/21', body: REQUEST.body };
      return await auth.verify({ ...received, rawHeaders: ['JWT', token] }).then(
        ({ keyId }) => keyId,
        (/** @type {unknown} */ error) => String(memberOf(error, 'code')),
      );
    });
  } finally {
    auth.close();
    server.close();
    server.closeAllConnections();
  }
}

/**
 * A token that the tool signs.
 *
 * @param {Json} jwk
 * @param {string} kid
 */
async function joseToken(jwk, kid) {
  const iat = Math.floor(Date.now() / 1000);
  const claims = {
    iss: HERALD,
    aud: CENSUS,
    sub: USER,
    iat,
    exp: iat + 60,
    jti: randomUUID(),
    req: 'GET /user/21',
  };
  const header = { protected: { alg: jwk['alg'], kid, typ: 'svc+jwt' } };
  const template = JSON.stringify(header);
  return await jose('jws', 'sig', '-c', '-s', template, '-k', write(jwk), '-I', write(claims));
}

/** @param {string[]} args */
async function jose(...args) {
  const { ok, output } = await run('jose', args);
  if (!ok) throw new Error(`jose ${args.slice(0, 2).join(' ')}: ${output}`);
  return output;
}

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<Outcome>}
 */
async function run(command, args) {
  return await new Promise((resolve) => {
    execFile(command, args, { timeout: PATIENCE_MILLISECONDS }, (error, stdout, stderr) => {
      resolve({ ok: error === null, output: `${stdout}${stderr}`.trim() });
    });
  });
}

/** @param {unknown} content */
function write(content) {
  const path = join(folder, randomUUID());
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

/**
 * @param {unknown} value
 * @param {string} name
 */
function memberOf(value, name) {
  return /** @type {Json} */ (Object(value))[name];
}

/** @param {string} json */
function readObject(json) {
  return /** @type {Json} */ (Object(JSON.parse(json)));
}

/** @param {string} json */
function readKeys(json) {
  return /** @type {Json[]} */ (readObject(json)['keys']);
}

/** @param {string} json */
function readList(json) {
  return /** @type {unknown[]} */ (JSON.parse(json));
}

/** The first Python that has PyJWT and what PyJWT needs for these algorithms. */
function findPython() {
  const candidates = [process.env.PYTHON ?? '', '/usr/bin/python3', 'python3'].filter(Boolean);
  return candidates.find(
    (candidate) => spawnSync(candidate, ['-c', 'import jwt, cryptography']).status === 0,
  );
}

/** @param {string} reason */
function skip(reason) {
  console.log(`skipped: ${reason}`);
  if (process.env.CI === 'true' || process.env.REQUIRE_ALL === '1') process.exitCode = 1;
}

/** @type {(outcome: Outcome, name: string) => boolean} */
function isError({ ok, output }, name) {
  return !ok && output.startsWith(name);
}

/** @type {(name: string, isSo: boolean, seen?: unknown) => void} */
function check(name, isSo, seen) {
  if (isSo) {
    outcomes.passed += 1;
    console.log(`ok      ${name}`);
  } else fail(`${name}: ${JSON.stringify(seen)}`);
}

/** @param {string} reason */
function fail(reason) {
  outcomes.failed += 1;
  console.log(`FAILED  ${reason}`);
}
