// Clients that share no code with this project, against the running sample. Needs a build:
//   npm run build && npx tsc -p sample && node test/sample/foreign-client.mjs
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { gzipSync } from 'node:zlib';

/** @typedef {{ python: string, keys: string, grant: string, herald: string, mailbox: import('../../sample/story/mailbox.js').Mailbox }} Place */
/** @typedef {{ ok: boolean, output: string }} Outcome */

const SAMPLE = new URL('../../dist-sample/', import.meta.url);
const CLIENTS = fileURLToPath(new URL('../../sample/clients/python/', import.meta.url));
const PATIENCE_MILLISECONDS = 30_000;
const CREATED = /^201 https:\/\/herald\.service\/notification\/[0-9a-f-]{36}\/$/;
const NOT_ALLOWED = /^403 \{.*A service that was called does not allow this\..*\}$/;
const GRANT_MISSING = /^403 \{.*"code":"grant_missing".*\}$/;
const BODY_MISMATCH = /^401 \{.*"code":"body_mismatch".*\}$/;
const HERALD = 'https://herald.service/';
const OPERATOR = 'https://census.service/user/21/';

const outcomes = { passed: 0, failed: 0 };

const python = findPython();
if (!python) skip('no Python with PyJWT: set PYTHON, or install python3-jwt');
else if (!existsSync(new URL('main.js', SAMPLE))) {
  fail('dist-sample is missing: run `npm run build && npx tsc -p sample` first');
} else await runAll(python);

if (python) console.log(`${outcomes.passed} passed, ${outcomes.failed} failed`);
if (outcomes.failed > 0) process.exitCode = 1;

/** The first Python that has PyJWT and what PyJWT needs for ES256. */
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

/** @param {string} python */
async function runAll(python) {
  const { startMailbox, ServiceProcesses, ensureKeyFiles, findFreePorts, grantFor } =
    await loadSample();
  const keys = mkdtempSync(join(tmpdir(), 'foreign-client-'));
  const services = new ServiceProcesses();
  const mailbox = await startMailbox();
  try {
    ensureKeyFiles(keys);
    const baseUrls = await services.startAll({
      ports: await findFreePorts({
        census: 0,
        herald: 0,
        another: 0,
        edge: 0,
        courier: 0,
        courierTcp: 0,
      }),
      keys,
      smtpUrl: mailbox.url,
    });
    const grant = join(keys, 'operator.grant');
    writeFileSync(grant, `${await grantFor(OPERATOR, keys)}\n`, { mode: 0o600 });
    const place = { python, keys, grant, herald: baseUrls.herald, mailbox };
    await testClient('legacy', place);
    await testClient('another', place);
    await testVerification(place);
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  } finally {
    await services.stopAll();
    await mailbox.close();
    rmSync(keys, { recursive: true });
  }
}

/** The sample as it was built: exactly what `npm start` runs. */
async function loadSample() {
  /** @typedef {typeof import('../../sample/story/mailbox.js')} MailboxModule */
  /** @typedef {typeof import('../../sample/story/service-processes.js')} ProcessesModule */
  /** @typedef {typeof import('../../sample/setup/key-files.js')} KeyFilesModule */
  /** @typedef {typeof import('../../sample/story/free-ports.js')} FreePortsModule */
  /** @typedef {typeof import('../../sample/story/signed-request.js')} SignedRequestModule */
  /** @type {(file: string) => string} */
  const built = (file) => new URL(file, SAMPLE).href;
  return {
    .../** @type {MailboxModule} */ (await import(built('story/mailbox.js'))),
    .../** @type {ProcessesModule} */ (await import(built('story/service-processes.js'))),
    .../** @type {KeyFilesModule} */ (await import(built('setup/key-files.js'))),
    .../** @type {FreePortsModule} */ (await import(built('story/free-ports.js'))),
    .../** @type {SignedRequestModule} */ (await import(built('story/signed-request.js'))),
  };
}

/**
 * A good call with the grant of its user, the same with one byte of the body changed after signing, and one without the
 * grant: Herald refuses that to another.service, and Census refuses what Herald asks for legacy.service.
 *
 * @param {'legacy' | 'another'} owner
 * @param {Place} place
 */
async function testClient(owner, { python, keys, grant, herald, mailbox }) {
  const script = owner === 'legacy' ? 'legacy_client.py' : 'strict_client.py';
  const plain = ['--herald', herald, '--key', join(keys, `${owner}.private.pem`)];
  const args = [...plain, '--grant', grant];
  const mailsBefore = mailbox.received.length;

  const good = await run(python, script, args);
  check(`${script}: 201 and a Location`, good.ok && CREATED.test(good.output), good);
  const mail = await mailbox.mailAfter(mailsBefore);
  const isWelcome =
    mail.to.join() === 'user42@census.service' &&
    /^Subject: Welcome, Census User/m.test(mail.message);
  check(`${script}: the mail arrived`, isWelcome, mail);

  const changed = await run(python, script, [...args, '--change-body']);
  const isRefused = !changed.ok && BODY_MISMATCH.test(changed.output);
  check(`${script}: a changed body is refused`, isRefused, changed);

  const unproved = await run(python, script, plain);
  const refusal = owner === 'legacy' ? NOT_ALLOWED : GRANT_MISSING;
  const isUnproved = !unproved.ok && refusal.test(unproved.output);
  check(`${script}: without the grant it is refused`, isUnproved, unproved);
  const oneMail = mailbox.received.length === mailsBefore + 1;
  check(`${script}: neither of them sends a mail`, oneMail, mailbox.received.length);
}

/**
 * Python verifies what this library signs, and only with the right key and audience.
 *
 * @param {Place} place
 */
async function testVerification({ python, keys, herald }) {
  const { readPrivateKey, publicKeyFile } = await loadSample();
  const { createServiceAuth } = await import('nestjs-service-auth/core');
  const another = await createServiceAuth({
    issuer: 'https://another.service/',
    signingKey: { privateKey: readPrivateKey(keys, 'another') },
    targets: [{ baseUrl: herald, audience: HERALD }],
  });
  const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
  const token = await another.sign({
    method: 'POST',
    url: new URL('notification/', herald),
    headers,
    body: gzipSync('{}'),
    subject: OPERATOR,
  });
  /** @type {(owner: 'legacy' | 'another', audience: string) => Promise<Outcome>} */
  const verify = (owner, audience) =>
    run(python, 'verify_token.py', [token ?? '', publicKeyFile(keys, owner), audience]);

  const good = await verify('another', HERALD);
  /** @type {unknown} */
  const claims = good.ok ? JSON.parse(good.output) : undefined;
  const expected = {
    iss: 'https://another.service/',
    aud: HERALD,
    sub: OPERATOR,
    req: 'POST /notification/',
    hdr: headers,
  };
  const areOurs = isDeepStrictEqual({ ...Object(claims), ...expected }, claims);
  check('verify_token.py: accepts our token', areOurs, good);
  const elsewhere = await verify('another', 'https://census.service/');
  const isWrongAudience = !elsewhere.ok && elsewhere.output.startsWith('InvalidAudienceError');
  check('verify_token.py: refuses another audience', isWrongAudience, elsewhere);
  const wrongKey = await verify('legacy', HERALD);
  const isWrongKey = !wrongKey.ok && wrongKey.output.startsWith('InvalidSignatureError');
  check('verify_token.py: refuses another key', isWrongKey, wrongKey);
}

/**
 * @param {string} python
 * @param {string} script
 * @param {string[]} args
 * @returns {Promise<Outcome>}
 */
async function run(python, script, args) {
  const options = { timeout: PATIENCE_MILLISECONDS };
  return await new Promise((resolve) => {
    execFile(python, [join(CLIENTS, script), ...args], options, (error, stdout, stderr) => {
      resolve({ ok: error === null, output: `${stdout}${stderr}`.trim() });
    });
  });
}

/** @type {(name: string, isSo: boolean, seen: unknown) => void} */
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
