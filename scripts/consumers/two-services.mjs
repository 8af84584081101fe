// Starts the two services of a built application as users do, `node dist/main`, and lets one call the
// other: a call as it was signed is served, one that was changed on its way is refused.
// `node two-services.mjs <folder of the application>` exits with 0 when all of that was so.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { startChangingProxy } from './changing-proxy.mjs';

const SECONDS_TO_START = 60;

function createKeys() {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
}

/**
 * @param {string} heraldUrl
 * @param {{ changesBodies: boolean }} proxy
 */
async function assertCalls(heraldUrl, proxy) {
  const served = await greet(heraldUrl);
  assert.equal(served.status, 201);
  assert.deepEqual(served.data.body, { name: 'Ada' });
  proxy.changesBodies = true;
  const refused = await greet(heraldUrl);
  assert.deepEqual([refused.status, refused.data.code], [401, 'body_mismatch']);
  proxy.changesBodies = false;
  assert.equal((await greet(heraldUrl)).status, 201);
}

/** @param {string} heraldUrl @returns what census answered to herald */
async function greet(heraldUrl) {
  const answer = await fetch(`${heraldUrl}/greeting`, { method: 'POST' });
  assert.equal(answer.status, 201);
  return /** @type {{ status: number, data: { body?: unknown, code?: string } }} */ (
    await answer.json()
  );
}

/**
 * @param {string} folder
 * @param {'census' | 'herald'} name
 * @param {Record<string, string>} settings its environment
 */
async function startService(folder, name, settings) {
  const env = { ...process.env, ...settings };
  const child = fork(join(folder, 'dist/main.js'), [name], { cwd: folder, env, execArgv: [] });
  const signal = AbortSignal.timeout(SECONDS_TO_START * 1000);
  const ended = once(child, 'exit').then(([code]) => assert.fail(`${name} ended with ${code}`));
  try {
    const sent = /** @type {Promise<[string]>} */ (once(child, 'message', { signal }));
    const [url] = await Promise.race([sent, ended]);
    return { child, url, stop: () => stop(child, name) };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    ended.catch(() => undefined);
  }
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {string} name
 */
async function stop(child, name) {
  const exit = /** @type {Promise<[number | null]>} */ (once(child, 'exit'));
  child.disconnect();
  const [code] = await exit;
  assert.equal(code, 0, `${name} ended with ${code}`);
}

const [folder] = process.argv.slice(2);
assert.ok(folder, 'the folder of an application');
const proxy = await startChangingProxy();
/** @type {Awaited<ReturnType<typeof startService>>[]} */
const services = [];
try {
  const keys = createKeys();
  const census = await startService(folder, 'census', { HERALD_PUBLIC_KEY: keys.publicKey });
  services.push(census);
  proxy.target = census.url;
  const settings = {
    HERALD_PRIVATE_KEY: keys.privateKey,
    ANOTHER_PUBLIC_KEY: createKeys().publicKey,
    CENSUS_URL: proxy.url,
  };
  const herald = await startService(folder, 'herald', settings);
  services.push(herald);
  await assertCalls(herald.url, proxy);
  for (const { stop: stopService } of services) await stopService();
} finally {
  for (const { child } of services) child.kill('SIGKILL');
  proxy.close();
}
