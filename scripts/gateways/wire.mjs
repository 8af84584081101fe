// Requests as bytes, and what comes back: clients of HTTP repair what these tests are about.
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';

const MS_TO_ANSWER = 10_000;

/** @typedef {{ status: number, text: string }} Answer `status` 0: none came */

/**
 * Sends bytes over a connection of their own and reads until it ends.
 *
 * @param {number} port
 * @param {readonly (Buffer | string)[]} pieces
 * @param {{ awaitsContinue?: boolean }} [options] `awaitsContinue`: all but the head waits for 100 Continue
 * @returns {Promise<Answer>}
 */
export async function sendBytes(port, pieces, { awaitsContinue = false } = {}) {
  const socket = connect(port, '127.0.0.1');
  socket.setTimeout(MS_TO_ANSWER, () => socket.destroy());
  /** @type {Buffer[]} */
  const received = [];
  socket.on('data', (chunk) => received.push(chunk));
  socket.on('error', () => undefined);
  // Not `once`: it fails with the socket, and what came before that is the answer.
  const closed = new Promise((resolve) => socket.on('close', resolve));
  const [head = '', ...rest] = pieces;
  socket.write(head);
  if (awaitsContinue)
    await Promise.race([new Promise((resolve) => socket.once('data', resolve)), closed]);
  for (const piece of rest) if (!socket.destroyed) socket.write(piece);
  await closed;
  return readAnswer(Buffer.concat(received).toString('latin1'));
}

/** @param {string} text @returns {Answer} the first that is final */
function readAnswer(text) {
  const final = text.replace(/^(?:HTTP\/1\.1 1\d\d [^]*?\r\n\r\n)+/, '');
  return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(final)?.[1] ?? 0), text: final };
}

/** @param {Buffer} body @returns {(Buffer | string)[]} */
export function inChunks(body) {
  const SIZE = 64 * 1024;
  const pieces = [];
  for (let at = 0; at < body.length; at += SIZE) {
    const piece = body.subarray(at, at + SIZE);
    pieces.push(`${piece.length.toString(16)}\r\n`, piece, '\r\n');
  }
  return [...pieces, '0\r\n\r\n'];
}

/**
 * One request over HTTP/2 without TLS.
 *
 * @param {number} port
 * @param {import('node:http2').OutgoingHttpHeaders} headers
 * @param {Buffer} body
 * @returns {Promise<Answer>}
 */
export async function sendHttp2(port, headers, body) {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  const late = setTimeout(() => session.destroy(), MS_TO_ANSWER);
  try {
    return await new Promise((resolve) => {
      let status = 0;
      let text = '';
      const stream = session.request(headers, { endStream: body.length === 0 });
      stream.on('response', (answered) => (status = Number(answered[':status'])));
      stream.on('data', (chunk) => (text += String(chunk)));
      stream.on('error', () => undefined);
      stream.on('close', () => resolve({ status, text }));
      session.on('close', () => resolve({ status, text }));
      if (body.length > 0) stream.end(body);
    });
  } finally {
    clearTimeout(late);
    session.destroy();
  }
}
