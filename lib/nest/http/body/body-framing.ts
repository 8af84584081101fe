import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** Whether the headers announce content: RFC 9112 section 6.3. */
export function announcesContent(raw: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = headersOf(raw);
  return coding !== undefined || (length !== undefined && String(length) !== '0');
}

/** The length that a header announces, in bytes; 0 without that header. */
export function announcedBytes(raw: IncomingMessage): number {
  return Number(headersOf(raw)['content-length'] ?? 0);
}

/** Whether the end of the stream has been pushed: no byte follows those in its buffer. */
export function hasEnded(raw: IncomingMessage): boolean {
  return memberOf(memberOf(raw, '_readableState'), 'ended') === true;
}

/** Whether the HTTP/2 headers say that no DATA frame follows: RFC 9113 section 8.1. */
export function endsWithHeaders(raw: IncomingMessage): boolean {
  return memberOf(memberOf(raw, 'stream'), 'endAfterHeaders') === true;
}

/** A host other than a Node server may give no headers. */
function headersOf(raw: IncomingMessage): IncomingHttpHeaders {
  return (raw.headers as IncomingHttpHeaders | undefined) ?? {};
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
