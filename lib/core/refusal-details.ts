import { type IssuerDirectory, nameDifference } from './issuers.js';
import type { KeySourceHealth } from './keys.js';
import type { BindableRequest } from './request-binding.js';
import { isServiceUri } from './service-uri.js';

/** The most names of this service, or key ids, that a detail lists. */
const MOST_NAMES = 5;
const MOST_CHARACTERS = 200;
const CONTENT_CODINGS: ReadonlySet<string> = new Set(['gzip', 'deflate', 'br', 'zstd', 'identity']);

/**
 * What exactly failed, for events and logs. Details are computed only for refused requests, so accepted ones pay
 * nothing. Before the signature is verified, a detail quotes nothing of the token. Afterwards it may quote claims,
 * but never the subject.
 */
export type RefusalDetailLevel = 'brief' | 'full';

/** The audience of a token, and the names of this service. The token is verified. */
export function describeAudience(
  audience: string | undefined,
  audiences: ReadonlySet<string>,
): string {
  const here = `this service answers to ${listed([...audiences])}`;
  if (audience === undefined) return `the token names no audience; ${here}`;
  if (!isServiceUri(audience)) return `made for a name that is no service URI; ${here}`;
  const near = [...audiences].find((name) => nameDifference(audience, name) !== undefined);
  const difference =
    near === undefined ? '' : `, which differs in ${nameDifference(audience, near)}`;
  return `made for ${audience}; ${here}${difference}`;
}

/**
 * The configured issuer that the token probably means. The token is not verified, so the text quotes nothing of it.
 */
export function describeNearMiss(
  unverifiedIssuer: string,
  issuers: IssuerDirectory,
): string | undefined {
  const near = issuers.nearest?.(unverifiedIssuer);
  const difference = near === undefined ? undefined : nameDifference(unverifiedIssuer, near);
  return difference && `differs from ${near} in ${difference}`;
}

/** Names the key that did not sign, though the token names it. The key id is one known here, and public. */
export function describeNamedKey(keyId: string): string {
  return `the known key ${JSON.stringify(keyId.slice(0, MOST_CHARACTERS))} did not sign it`;
}

/** Names the keys of an issuer that did not sign. Key ids are public. */
export function describeKnownKeys({ keyIds, ageSeconds }: KeySourceHealth): string {
  const names = listed(keyIds.map((keyId) => JSON.stringify(keyId.slice(0, MOST_CHARACTERS))));
  if (ageSeconds === undefined) return `the keys configured here are ${names}`;
  return `the known keys are ${names}, fetched ${ageSeconds} s ago`;
}

function listed(names: readonly string[]): string {
  const rest = names.length - MOST_NAMES;
  const shown = names.slice(0, MOST_NAMES).join(', ');
  return rest > 0 ? `${shown} and ${rest} more` : shown;
}

interface RequestLine {
  readonly method: string;
  readonly path: string;
  /** The query with its question mark; empty if there is none. */
  readonly query: string;
}

/**
 * How the request differs from the signed one. The token is verified.
 *
 * @param level `full` quotes both: a path may hold what only the two services should know
 */
export function describeRequestLine(
  signedLine: string | undefined,
  receivedLine: string,
  level: RefusalDetailLevel,
): string {
  const signed = readRequestLine(signedLine ?? '');
  const received = readRequestLine(receivedLine);
  const member = (['method', 'path', 'query'] as const).find(
    (name) => signed[name] !== received[name],
  );
  if (member === undefined) return 'the request line differs';
  const difference = describeMember[member](signed[member], received[member]);
  if (level !== 'full') return difference;
  return `${difference}; signed ${quoted(signed[member])}, received ${quoted(received[member])}`;
}

function readRequestLine(line: string): RequestLine {
  const [method = '', target = ''] = line.split(' ', 2);
  const at = target.indexOf('?');
  if (at < 0) return { method, path: target, query: '' };
  return { method, path: target.slice(0, at), query: target.slice(at) };
}

const describeMember = {
  method: () => 'the method differs',
  path: describePath,
  query: describeQuery,
};

function describePath(signed: string, received: string): string {
  if (withoutSlash(signed) === withoutSlash(received)) return 'the path differs in its final slash';
  if (signed.endsWith(received))
    return 'the received path is the end of the signed one: publicPathPrefix?';
  if (received.endsWith(signed))
    return 'the signed path is the end of the received one: is publicPathPrefix right?';
  return `the path differs: ${lengths(signed, received)}`;
}

function describeQuery(signed: string, received: string): string {
  if (received === '') return 'the query is missing';
  if (signed === '') return 'a query was added';
  if (sortedQuery(signed) === sortedQuery(received)) {
    return 'the query has the same parameters in another order';
  }
  return `the query differs: ${lengths(signed, received)}`;
}

function sortedQuery(query: string): string {
  return query.slice(1).split('&').toSorted().join('&');
}

function lengths(signed: string, received: string): string {
  let at = 0;
  while (at < signed.length && signed[at] === received[at]) at++;
  return `${signed.length} characters signed, ${received.length} received, the first difference at character ${at + 1}`;
}

function withoutSlash(text: string): string {
  return text.endsWith('/') ? text.slice(0, -1) : text;
}

function quoted(text: string): string {
  const rest = text.length - MOST_CHARACTERS;
  const shown = JSON.stringify(text.slice(0, MOST_CHARACTERS));
  return rest > 0 ? `${shown} and ${rest} more characters` : shown;
}

/** Describes the body that arrived instead of the signed one: its length, its coding, and who read it. */
export function describeBody({ body, headerValues }: BindableRequest): string {
  const arrival = body.arrival?.();
  const [coding] = headerValues('content-encoding');
  const parts = [
    arrival === undefined ? 'other bytes arrived' : arrivedBytes(arrival.bytes),
    ...(coding === undefined ? [] : [describeCoding(coding.toLowerCase())]),
    ...(arrival?.isReadByOthers ? ['a parser has read the body before the guard'] : []),
  ];
  return parts.join('; ');
}

function arrivedBytes(bytes: number): string {
  if (bytes === 0) return 'no byte arrived';
  return bytes === 1 ? '1 byte arrived' : `${bytes} bytes arrived`;
}

/** Any other coding is text of the sender, and is not quoted. */
function describeCoding(coding: string): string {
  return `the content coding is ${CONTENT_CODINGS.has(coding) ? coding : 'an unusual one'}`;
}
