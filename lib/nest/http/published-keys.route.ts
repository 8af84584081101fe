import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpAdapterHost } from '@nestjs/core';
import { createSlot, type PublishedKey, ServiceAuthConfigError } from '../../core/index.js';
import type { ServiceAuth } from '../../service-auth.js';

/** Fastify must send the answer: otherwise the headers of its hooks, such as those for CORS, would be missing. */
interface FastifyReply {
  code(status: number): FastifyReply;
  headers(values: Readonly<Record<string, string>>): FastifyReply;
  send(body?: Uint8Array): unknown;
}

/** The answer, the same for every request until the keys change. */
interface Representation {
  readonly keys: readonly PublishedKey[];
  readonly body: Buffer;
  readonly etag: string;
}

interface Answer {
  readonly status: 200 | 304;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

/** The publisher of each path of an HTTP server. Paths are in lower case, since Express ignores case. */
const PUBLISHERS = createSlot<Map<string, string>>();

/**
 * Serves the service's public keys. The route belongs to the HTTP server, not to Nest's router. So no guard, prefix
 * or version of the application applies: keys are public.
 *
 * @throws ServiceAuthConfigError if another service of the application publishes its keys at the same path
 * @see RFC 7517 section 8.5.1
 */
export function servePublishedKeys(
  adapter: HttpAdapterHost['httpAdapter'],
  serviceAuth: ServiceAuth,
): void {
  const published = serviceAuth.settings.sending?.publishedKeys;
  if (!published) return;
  claimPath(adapter, published.path, serviceAuth.settings.issuer);
  const answer = answerFrom(serviceAuth, published.maxAgeSeconds);
  const handle = (
    request: Pick<IncomingMessage, 'headers'>,
    response: ServerResponse | FastifyReply,
  ): void => {
    const { status, headers, body } = answer(request.headers['if-none-match']);
    if (!('writeHead' in response)) response.code(status).headers(headers).send(body);
    else response.writeHead(status, headers).end(body);
  };
  adapter.get(published.path, handle);
}

function claimPath(adapter: object, path: string, issuer: string): void {
  const publishers = PUBLISHERS.get(adapter) ?? new Map<string, string>();
  const other = publishers.get(path.toLowerCase());
  if (other !== undefined) {
    throw new ServiceAuthConfigError([
      `publishedKeys.path: ${other} and ${issuer} both publish their keys at ${path}; write another path for one of them, or publishedKeys: 'off'`,
    ]);
  }
  PUBLISHERS.set(adapter, publishers.set(path.toLowerCase(), issuer));
}

function answerFrom(serviceAuth: ServiceAuth, maxAgeSeconds: number) {
  let known: Representation | undefined;
  return (ifNoneMatch: string | undefined): Answer => {
    const keys = serviceAuth.publishedKeys()?.keys ?? [];
    // The list stays the same object until the keys change, so it is serialised once.
    if (known?.keys !== keys) known = represent(keys);
    const headers = { ETag: known.etag, 'Cache-Control': `public, max-age=${maxAgeSeconds}` };
    if (isKnown(ifNoneMatch, known.etag)) return { status: 304, headers, body: undefined };
    const { body } = known;
    return { status: 200, headers: { ...headers, ...describeContent(body) }, body };
  };
}

function represent(keys: readonly PublishedKey[]): Representation {
  const body = Buffer.from(JSON.stringify({ keys }));
  const digest = createHash('sha256').update(body).digest('base64url');
  return { keys, body, etag: `"${digest}"` };
}

function describeContent(body: Buffer): Record<string, string> {
  return { 'Content-Type': 'application/jwk-set+json', 'Content-Length': String(body.length) };
}

/** RFC 9110 section 13.1.2, with its weak comparison. */
function isKnown(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = ifNoneMatch?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  return tags.includes(etag) || tags.includes('*');
}
