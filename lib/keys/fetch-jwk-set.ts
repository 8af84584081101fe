import { JwkSetError } from './jwk-set.js';

const DEADLINE_MILLISECONDS = 3000;
const MAX_BYTES = 256 * 1024;
const MAX_AGE = { least: 60, most: 3600, fallback: 600 };

/** A good reply of a key server. */
export interface JwkSetReply {
  /** Undefined when the set has not changed since `etag`. */
  readonly bytes: Uint8Array | undefined;
  readonly etag: string | undefined;
  /** How long the set may be used before it is asked for again: 60 to 3600. */
  readonly maxAgeSeconds: number;
}

/** Asks a key server for a set; `etag` is that of the set known already. */
export type FetchJwkSet = (etag: string | undefined, closing: AbortSignal) => Promise<JwkSetReply>;

/**
 * Fetches the JWK Set at one configured URL: no redirects, no cookies, at most 3 seconds and 256 KiB
 * in all, whatever the server does.
 *
 * @throws JwkSetError for every reply that is no set; whatever `fetch` throws when there is none
 */
export function fetchJwkSetFrom(url: string): FetchJwkSet {
  return async (etag, closing) =>
    await withDeadline(closing, async (signal) => {
      const response = await fetch(url, {
        redirect: 'manual',
        credentials: 'omit',
        signal,
        headers: {
          accept: 'application/jwk-set+json, application/json',
          'accept-encoding': 'identity',
          ...(etag === undefined ? {} : { 'if-none-match': etag }),
        },
      });
      const bytes = await readReply(response, etag !== undefined);
      return {
        bytes,
        etag: response.headers.get('etag') ?? (bytes ? undefined : etag),
        maxAgeSeconds: readMaxAge(response.headers),
      };
    });
}

/**
 * Ends `work` at the deadline or on closing, even if `fetch` does not. Not with `AbortSignal.any()`:
 * its signal can be garbage collected before a timeout in it fires, and then nothing ever ends.
 */
async function withDeadline<T>(
  closing: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  closing.throwIfAborted();
  const ending = new AbortController();
  const endWith = (reason: string) => () => ending.abort(new JwkSetError(reason));
  const close = endWith('this service is closing');
  const late = endWith('the key server did not answer in time');
  closing.addEventListener('abort', close);
  const timer = setTimeout(late, DEADLINE_MILLISECONDS);
  try {
    return await Promise.race([work(ending.signal), rejectionOf(ending.signal)]);
  } finally {
    clearTimeout(timer);
    closing.removeEventListener('abort', close);
  }
}

async function rejectionOf(signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) =>
    signal.addEventListener('abort', () => reject(signal.reason as Error)),
  );
}

async function readReply(
  response: Response,
  mayBeUnchanged: boolean,
): Promise<Uint8Array | undefined> {
  if (response.status === 200) return await readBounded(response);
  await response.body?.cancel();
  if (response.status === 304 && mayBeUnchanged) return undefined;
  throw new JwkSetError(
    `the key server answered ${response.status}`,
    readSeconds(response.headers.get('retry-after')) ?? 0,
  );
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

/** What a cache on the way has used up of the time is no longer there to use. */
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
