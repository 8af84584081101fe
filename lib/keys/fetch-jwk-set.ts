import { withinDeadline } from '../core/index.js';
import { JwkSetError } from './jwk-set.js';

const DEADLINE_MILLISECONDS = 3000;
const MAX_BYTES = 256 * 1024;
const MAX_AGE = { least: 60, most: 3600, fallback: 600 };
/** One entity tag of RFC 9110 section 8.8.3, short enough for every request. */
const ENTITY_TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]{0,256}"$/;

/** A valid reply of a key server. */
export interface JwkSetReply {
  /** Undefined if the set has not changed since `etag`. */
  readonly bytes: Uint8Array | undefined;
  /** The tag of the current set; undefined if the next fetch must be unconditional. */
  readonly etag: string | undefined;
  /** Seconds until the set must be fetched again: 60 to 3600. */
  readonly maxAgeSeconds: number;
}

/** Asks a key server for a set. `etag` is the tag of the known set; undefined gets the whole set. */
export type FetchJwkSet = (etag: string | undefined, closing: AbortSignal) => Promise<JwkSetReply>;

/**
 * Fetches the JWK Set at one configured URL: no redirects, no cookies, at most 3 seconds and 256 KiB in total,
 * whatever the server does. A 304 with another tag than the sent one confirms nothing, so the whole set is fetched
 * immediately.
 *
 * @throws JwkSetError for every reply that is not a set; the error of `fetch` if there is no reply
 */
export function fetchJwkSetFrom(url: string): FetchJwkSet {
  return async (etag, closing) =>
    await beforeTheEnd(closing, async (signal) => {
      const response = await request(url, etag, signal);
      if (etag === undefined || response.status !== 304) return await readWholeSet(response);
      await response.body?.cancel();
      if (!confirms(response, etag))
        return await readWholeSet(await request(url, undefined, signal));
      return { bytes: undefined, etag, maxAgeSeconds: readMaxAge(response.headers) };
    });
}

async function request(
  url: string,
  etag: string | undefined,
  signal: AbortSignal,
): Promise<Response> {
  return await fetch(url, {
    redirect: 'manual',
    credentials: 'omit',
    signal,
    headers: {
      accept: 'application/jwk-set+json, application/json',
      'accept-encoding': 'identity',
      ...(etag === undefined ? {} : { 'if-none-match': etag }),
    },
  });
}

/** A 304 without a tag confirms the sent tag. The comparison is the weak one of RFC 9110 section 8.8.3.2. */
function confirms(response: Response, sent: string): boolean {
  const named = response.headers.get('etag');
  return named === null || opaqueTag(named) === opaqueTag(sent);
}

function opaqueTag(etag: string): string {
  return etag.replace(/^W\//, '');
}

/**
 * Ends `work` at the deadline or on closing, even if `fetch` does not. It does not use `AbortSignal.any()`: that
 * signal can be garbage collected before its timeout fires, and then the work never ends.
 */
async function beforeTheEnd<T>(
  closing: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  closing.throwIfAborted();
  const ending = new AbortController();
  const end = (): void => ending.abort(new JwkSetError('this service is closing'));
  const ended = new Promise<never>((_resolve, reject) =>
    ending.signal.addEventListener('abort', () => reject(ending.signal.reason as Error)),
  );
  closing.addEventListener('abort', end);
  try {
    return await withinDeadline(
      DEADLINE_MILLISECONDS,
      Promise.race([work(ending.signal), ended]),
      () => new JwkSetError('the key server did not answer in time'),
    );
  } finally {
    closing.removeEventListener('abort', end);
    ending.abort(); // aborts a late fetch, or one whose body is not read
  }
}

async function readWholeSet(response: Response): Promise<JwkSetReply> {
  const { headers, status } = response;
  if (status !== 200) {
    await response.body?.cancel();
    const retryAfterSeconds = readSeconds(headers.get('retry-after')) ?? 0;
    throw new JwkSetError(`the key server answered ${status}`, retryAfterSeconds);
  }
  const bytes = await readBounded(response);
  return { bytes, etag: readEntityTag(headers), maxAgeSeconds: readMaxAge(headers) };
}

/** A tag that cannot be sent back would make every later fetch fail, so it is ignored. */
function readEntityTag(headers: Headers): string | undefined {
  const etag = headers.get('etag') ?? '';
  return ENTITY_TAG.test(etag) ? etag : undefined;
}

async function readBounded(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    // Leaving the loop cancels the body, and with it the connection.
    if (size > MAX_BYTES) throw new JwkSetError(`the reply is larger than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Subtracts the age of the reply in a cache. */
function readMaxAge(headers: Headers): number {
  const directives = headers.get('cache-control')?.toLowerCase() ?? '';
  if (/\bno-(?:store|cache)\b/.test(directives)) return MAX_AGE.least;
  const seconds = readSeconds(/(?:^|[\s,])max-age="?(\d+)/.exec(directives)?.[1]);
  if (seconds === undefined) return MAX_AGE.fallback;
  const left = seconds - (readSeconds(headers.get('age')) ?? 0);
  return Math.min(Math.max(left, MAX_AGE.least), MAX_AGE.most);
}

function readSeconds(text: string | null | undefined): number | undefined {
  return text && /^\d+$/.test(text) ? Math.min(Number(text), Number.MAX_SAFE_INTEGER) : undefined;
}
