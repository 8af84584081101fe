import { isArrayBuffer } from 'node:util/types';
import { CALL_SUBJECT } from '../for-whom/call-options.js';
import type { FrozenRequest } from './fetch-body.js';
import type { FetchCall } from './fetch-call.js';

/** Methods that fetch sends unchanged. It refuses some others. */
const PLAIN_METHODS: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const METHODS_WITHOUT_BODY: ReadonlySet<string> = new Set(['GET', 'HEAD']);
const REDIRECTS: ReadonlySet<unknown> = new Set(['follow', 'error', 'manual']);

/** Members that this function reads, or that concern only fetch. */
const PLAIN_MEMBERS: ReadonlySet<string> = new Set([
  'method',
  'headers',
  'body',
  'redirect',
  'signal',
  'dispatcher',
  CALL_SUBJECT,
]);

/**
 * Freezes a simple call, which fetch interprets in one way only: a URL, a common method, a body of text or bytes. The
 * result equals that of {@link freezeRequest}, in a fraction of the time.
 *
 * @returns undefined for any other call
 * @throws TypeError for headers that cannot be sent
 */
export function freezePlainCall({ input, init }: FetchCall): FrozenRequest | undefined {
  const { method = 'GET', body, headers: given, redirect = 'follow' } = init;
  const isPlain = typeof input === 'string' && REDIRECTS.has(redirect) && hasPlainMembers(init);
  if (!isPlain || !allowsBody(method, body)) return undefined;
  const plain = toPlainBody(body);
  if (plain === undefined) return undefined;
  const headers = new Headers(given);
  if (plain.type !== undefined && !headers.has('content-type')) {
    headers.set('content-type', plain.type);
  }
  return { method, headers, body: plain.bytes, redirect: String(redirect) };
}

function hasPlainMembers(init: object): boolean {
  return Object.keys(init).every((name) => PLAIN_MEMBERS.has(name));
}

function allowsBody(method: string, body: unknown): boolean {
  if (PLAIN_METHODS.has(method)) return true;
  return METHODS_WITHOUT_BODY.has(method) && (body === undefined || body === null);
}

interface PlainBody {
  readonly bytes: Buffer | undefined;
  /** The Content-Type if the caller gives none. */
  readonly type?: string;
}

/** @see Fetch Standard, section 5.3, "extract a body" */
function toPlainBody(body: unknown): PlainBody | undefined {
  if (body === undefined || body === null) return { bytes: undefined };
  if (typeof body === 'string') {
    return { bytes: Buffer.from(body), type: 'text/plain;charset=UTF-8' };
  }
  if (body instanceof URLSearchParams) {
    const type = 'application/x-www-form-urlencoded;charset=UTF-8';
    return { bytes: Buffer.from(body.toString()), type };
  }
  return isSteady(body) ? { bytes: Buffer.from(body) } : undefined;
}

/** Excludes bytes whose memory was detached, which fetch refuses. */
function isSteady(body: unknown): body is Uint8Array {
  if (!(body instanceof Uint8Array) || body.length === 0) return false;
  return isArrayBuffer(body.buffer) && Reflect.get(body.buffer, 'resizable') !== true;
}
