import type { IncomingMessage } from 'node:http';

/** Whether a request may have content. The framing says so: RFC 9112 section 6.3, RFC 9113 section 8.1. */
export function mayHaveContent(raw: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = raw.headers;
  if (coding !== undefined) return true;
  if (length !== undefined) return length !== '0';
  return raw.httpVersionMajor >= 2 ? !endsAfterHeaders(raw) : isInjectedStream(raw);
}

/** Whether a header says that there is content; where none does, only the bytes themselves can tell. */
export function isAnnounced(raw: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = raw.headers;
  return length !== undefined || coding !== undefined;
}

/** The length that a header announces, in bytes; 0 where none does. */
export function announcedBytes(raw: IncomingMessage): number {
  return Number(raw.headers['content-length'] ?? 0);
}

/** HTTP/2 has no framing headers: the stream says whether DATA frames may follow. */
function endsAfterHeaders(raw: IncomingMessage): boolean {
  return memberOf(memberOf(raw, 'stream'), 'endAfterHeaders') === true;
}

/** Fastify's `inject()` gives a stream no framing headers either: its own record is all that tells. */
function isInjectedStream(raw: IncomingMessage): boolean {
  const payload = memberOf(memberOf(raw, '_lightMyRequest'), 'payload');
  return payload !== undefined && payload !== null;
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
