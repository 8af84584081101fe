// Uploads 100 MiB to receivers in processes of their own and measures how much memory that takes:
// `node scripts/test-large-bodies.mjs`, after `npm run build`. Linux alone tells the peak of a process.
import { fork } from 'node:child_process';
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';

const MEBIBYTE = 1024 * 1024;
const UPLOAD = 100 * MEBIBYTE;
const MAX_GROWTH = 40 * MEBIBYTE;
const RECEIVER = join(import.meta.dirname, 'large-bodies-receiver.mjs');
const BOUNDARY = 'a-boundary-that-occurs-nowhere-else';
const BINARY = 'application/octet-stream';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** @param {string} target @param {Buffer[]} parts @param {string} type */
function tokenFor(target, parts, type) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  const encode = (/** @type {object} */ value) =>
    Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: 'https://herald.service/',
    aud: 'https://census.service/',
    iat: now,
    exp: now + 300,
    jti: randomUUID(),
    req: `POST ${target}`,
    hdr: { 'content-type': type },
    bdy: hash.digest('hex'),
  };
  const input = `${encode({ alg: 'ES256', kid: 'herald', typ: 'svc+jwt' })}.${encode(claims)}`;
  const key = /** @type {const} */ ({ key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
}

/**
 * @param {number} port
 * @param {string} target
 * @param {{ size: number, isForm: boolean, isTampered: boolean }} kind
 * @returns {Promise<{ status: number, text: string }>}
 */
async function upload(port, target, { size, isForm, isTampered }) {
  const piece = Buffer.alloc(Math.min(size, MEBIBYTE), 'a');
  const parts = Array.from({ length: Math.max(1, size / MEBIBYTE) }, () => piece);
  const type = isForm ? `multipart/form-data; boundary=${BOUNDARY}` : BINARY;
  if (isForm) {
    const name = 'form-data; name="file"; filename="a.bin"';
    const head = `--${BOUNDARY}\r\nContent-Disposition: ${name}\r\nContent-Type: ${BINARY}\r\n\r\n`;
    parts.unshift(Buffer.from(head));
    parts.push(Buffer.from(`\r\n--${BOUNDARY}--\r\n`));
  }
  const jwt = tokenFor(target, parts, type);
  if (isTampered) parts[parts.length - 2] = Buffer.from(piece).fill('b', MEBIBYTE - 1);
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const headers = { jwt, 'content-type': type, 'content-length': length };
  const outgoing = request({ port, host: '127.0.0.1', method: 'POST', path: target, headers });
  const answered = once(outgoing, 'response');
  for (const part of parts) if (!outgoing.write(part)) await once(outgoing, 'drain');
  outgoing.end();
  const [response] = /** @type {[import('node:http').IncomingMessage]} */ (await answered);
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode ?? 0, text };
}

/** The peak of a process so far, in bytes. @param {number | undefined} pid */
function peakOf(pid) {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) * 1024;
}

/** @param {string} adapter @param {string} target @param {boolean} isTampered */
async function measure(adapter, target, isTampered) {
  const pem = String(publicKey.export({ type: 'spki', format: 'pem' }));
  const receiver = fork(RECEIVER, [adapter, pem], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  try {
    const [port] = /** @type {[number]} */ (await once(receiver, 'message'));
    const isForm = target === '/form';
    for (let at = 0; at < 100; at++) {
      await upload(port, target, { size: 1024, isForm, isTampered: false });
    }
    const before = peakOf(receiver.pid);
    const answer = await upload(port, target, { size: UPLOAD, isForm, isTampered });
    const growth = peakOf(receiver.pid) - before;
    return { ...answer, growth };
  } finally {
    receiver.kill();
  }
}

if (process.platform !== 'linux') {
  console.log('Not measured: only Linux tells the peak memory of a process.');
  process.exit();
}
let failures = 0;
for (const adapter of ['express', 'fastify']) {
  for (const target of ['/bytes', '/form']) {
    for (const isTampered of [false, true]) {
      const { status, text, growth } = await measure(adapter, target, isTampered);
      const isRight = isTampered
        ? status === 401 && text.includes('body_mismatch')
        : status === 200 && text.includes(String(UPLOAD));
      const isFlat = growth <= MAX_GROWTH;
      if (!isRight || !isFlat) failures++;
      const what = `${adapter} ${target} ${isTampered ? 'tampered' : 'as signed'}`;
      const verdict = `${status}${isRight ? '' : ` WRONG: ${text}`}`;
      console.log(`${what}: ${verdict}, peak +${(growth / MEBIBYTE).toFixed(1)} MiB`);
    }
  }
}
process.exitCode = failures > 0 ? 1 : 0;
