import { OutgoingMessage } from 'node:http';
import { SIGNED_HEADERS } from '../core/index.js';

/** The members of Node that hold unsent data: the head as text, the headers by name, data that waits for a socket. */
const HEAD = '_header';
const HEADERS = 'kOutHeaders';
const WAITING = 'outputData';
/** The same for a socket that is not connected yet. */
const WAITING_IN_SOCKET = '_pendingData';

/** Sent requests whose token is already erased, so the search is not repeated. */
const ERASED = new WeakSet<OutgoingMessage>();

/** The values of the token and of the grant, in a head. */
const TOKEN_LINE = /^((?:jwt|txn-token):)[^\r\n]*/gim;

/**
 * Hides the token of a request from code that prints enumerable members, and erases it after it is sent. A logger
 * that prints an agent finds every waiting or running request there, including those of other calls. The sent bytes
 * do not change.
 *
 * @returns whether it is a request of Node, which has copied its options
 */
export function concealToken(request: unknown): boolean {
  const message = messageOf(request);
  if (!message) return false;
  hide(message, HEAD, WAITING, ...symbolsOf(message, HEADERS));
  message.once('socket', (socket: object) => hide(socket, WAITING_IN_SOCKET));
  message.once('finish', () => eraseFromMessage(message, false));
  return true;
}

/** Removes the token from a request of Node, of its http2 or of `fetch`, after it is sent or has failed. */
export function eraseToken(request: unknown, hasFailed: boolean): void {
  if (typeof request !== 'object' || request === null) return;
  const message = messageOf(request);
  if (message) eraseFromMessage(message, hasFailed);
  if ('sentHeaders' in request) eraseFromHeaders(request.sentHeaders);
  if ('headers' in request) eraseFromHeaders(request.headers);
}

/** Removes the token from headers of `fetch`, or from headers by name. */
export function eraseFromHeaders(headers: unknown): void {
  if (typeof headers !== 'object' || headers === null) return;
  if (headers instanceof Headers) for (const name of SIGNED_HEADERS) headers.delete(name);
  for (const name of Object.getOwnPropertyNames(headers)) {
    const isOurs = SIGNED_HEADERS.some((ours) => ours === name.toLowerCase());
    if (isOurs) Reflect.deleteProperty(headers, name);
  }
}

/** The request itself, or the inner request of the package follow-redirects. */
function messageOf(request: unknown): OutgoingMessage | undefined {
  if (request instanceof OutgoingMessage) return request;
  const isWrapper = typeof request === 'object' && request !== null && '_currentRequest' in request;
  return isWrapper ? messageOf(request._currentRequest) : undefined;
}

function eraseFromMessage(message: OutgoingMessage, isOver: boolean): void {
  if (!isOver && (ERASED.has(message) || !message.headersSent)) return;
  ERASED.add(message);
  const head: unknown = Reflect.get(message, HEAD);
  // Node forbids changing the headers of a request that has a head.
  Reflect.set(message, HEAD, null);
  for (const name of SIGNED_HEADERS) message.removeHeader(name);
  Reflect.set(message, HEAD, withoutToken(head));
  if (isOver) eraseWaiting(message);
}

/** Erases the token from unsent data. */
function eraseWaiting(message: OutgoingMessage): void {
  for (const chunk of [Reflect.get(message, WAITING) ?? []].flat() as { data: unknown }[]) {
    chunk.data = withoutToken(chunk.data);
  }
  if (message.socket?.destroyed) Reflect.set(message.socket, WAITING_IN_SOCKET, null);
}

function withoutToken(text: unknown): unknown {
  return typeof text === 'string' ? text.replace(TOKEN_LINE, '$1 [removed]') : text;
}

function hide(owner: object, ...names: readonly PropertyKey[]): void {
  for (const name of names.filter((each) => Object.hasOwn(owner, each))) {
    Reflect.defineProperty(owner, name, { enumerable: false });
  }
}

function symbolsOf(owner: object, description: string): symbol[] {
  return Object.getOwnPropertySymbols(owner).filter((each) => each.description === description);
}
