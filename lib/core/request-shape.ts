import { types } from 'node:util';
import { type BodyHashAlgorithm, bodyHashAlgorithmOf, hashBody } from './body-hash.js';
import { ServiceAuthUsageError } from './errors.js';
import type {
  BodyArrival,
  IncomingRequest,
  OutgoingRequest,
  RequestBody,
  RequestToDestination,
} from './request.js';

/**
 * Asserts that a request to verify has the members of {@link IncomingRequest}, besides its body, which {@link
 * bodyFrom} reads. TypeScript types are not checked at run time, and a member of another kind looks like a missing
 * one.
 *
 * @throws ServiceAuthUsageError that names the member and the kind of what was given, never its content
 */
export function assertIncomingRequest(request: IncomingRequest): void {
  if (!isObject(request)) fail('the request', 'an object', request);
  const { method, target, rawHeaders, maxHeadersCount } = request;
  if (!isString(method)) fail('`method`', 'a string', method);
  if (!isString(target)) fail('`target`', 'a string', target);
  if (!Array.isArray(rawHeaders)) fail('`rawHeaders`', 'an array', rawHeaders);
  for (const text of rawHeaders) {
    if (!isString(text)) fail('each item of `rawHeaders`', 'a string', text);
  }
  if (!isCount(maxHeadersCount)) {
    fail('`maxHeadersCount`', 'a whole number from 0', maxHeadersCount);
  }
  if (rawHeaders.length % 2 === 0) return;
  throw new ServiceAuthUsageError(
    '`rawHeaders` must hold names and values in turns: it has an odd number of items.',
  );
}

/**
 * Asserts that a request to sign has the members of {@link OutgoingRequest}, besides its body, which signing checks.
 *
 * @throws ServiceAuthUsageError that names the member and the kind of what was given, never its content
 */
export function assertOutgoingRequest(request: OutgoingRequest): void {
  assertRequestToDestination(request);
  const { url } = request;
  if (!isString(url) && !(url instanceof URL)) fail('`url`', 'a string or URL', url);
}

/**
 * As {@link assertOutgoingRequest}, for a request whose URL is known already.
 *
 * @throws ServiceAuthUsageError
 */
export function assertRequestToDestination(request: RequestToDestination): void {
  if (!isObject(request)) fail('the request', 'an object', request);
  const { method, headers, subject, grant } = request;
  if (!isString(method)) fail('`method`', 'a string', method);
  // Headers, Map and the like have no entries of their own: nothing of them would be signed.
  const isRecord = isObject(headers) && !(Symbol.iterator in headers);
  if (!isRecord) fail('`headers`', 'a record of names and values', headers);
  for (const value of Object.values(headers)) {
    const isText = isString(value) || (Array.isArray(value) && value.every(isString));
    if (!isText) fail('each value of `headers`', 'a string or an array of strings', value);
  }
  const isSubject = subject === undefined || isString(subject);
  if (!isSubject) fail('`subject`', 'a string or undefined', subject);
  const isGrant = grant === undefined || isString(grant);
  if (!isGrant) fail('`grant`', 'a string or undefined', grant);
}

/**
 * Turns a body into a {@link RequestBody} whose answers are checked. Accepts a `Uint8Array` of any realm.
 *
 * @throws ServiceAuthUsageError for anything else, and for bytes whose memory was transferred or shrunk away
 */
export function bodyFrom(body: Uint8Array | RequestBody): RequestBody {
  if (types.isUint8Array(body)) return bodyOfBytes(body);
  const isBody = isObject(body) && typeof body.digest === 'function';
  if (!isBody) fail('`body`', 'a Uint8Array, such as a Buffer, or a RequestBody', body);
  const settle: unknown = Reflect.get(body, 'settle');
  const canSettle = settle === undefined || typeof settle === 'function';
  if (!canSettle) fail('`body.settle`', 'a function or undefined', settle);
  assertHasContent(body.hasContent);
  return new CheckedBody(body);
}

function bodyOfBytes(bytes: Uint8Array): RequestBody {
  if (bytes.byteLength === 0) assertNothingLost(bytes);
  return {
    hasContent: bytes.byteLength > 0,
    digest: (algorithm) => hashBody(algorithm, bytes),
    arrival: () => ({ bytes: bytes.byteLength, isReadByOthers: false }),
  };
}

/** A view of detached memory has no bytes, and would look like an empty body. */
function assertNothingLost(bytes: Uint8Array): void {
  try {
    Uint8Array.prototype.at.call(bytes, 0);
  } catch {
    throw new ServiceAuthUsageError(
      '`body` has lost its bytes: its ArrayBuffer was transferred or resized. Give a copy.',
    );
  }
}

// A class, since a getter in an object literal keeps its closure alive as long as a class does.
class CheckedBody implements RequestBody {
  constructor(private readonly given: RequestBody) {}

  get hasContent(): boolean {
    const { hasContent } = this.given;
    assertHasContent(hasContent);
    return hasContent;
  }

  settle(): void | Promise<void> {
    return this.given.settle?.();
  }

  async digest(algorithm: BodyHashAlgorithm): Promise<string> {
    return readDigest(await this.given.digest(algorithm), algorithm);
  }

  arrival(): BodyArrival | undefined {
    const arrival: unknown = this.given.arrival?.();
    if (!isObject(arrival)) return undefined;
    const bytes: unknown = Reflect.get(arrival, 'bytes');
    const isReadByOthers = Reflect.get(arrival, 'isReadByOthers') === true;
    return isCount(bytes) ? { bytes: Number(bytes), isReadByOthers } : undefined;
  }
}

function readDigest(digest: unknown, algorithm: BodyHashAlgorithm): string {
  if (typeof digest === 'string' && bodyHashAlgorithmOf(digest) === algorithm) return digest;
  return fail('what `body.digest` returns', `${algorithm} in lower-case hex`, digest);
}

function assertHasContent(hasContent: unknown): void {
  if (typeof hasContent !== 'boolean') fail('`body.hasContent`', 'a boolean', hasContent);
}

function fail(member: string, expected: string, given: unknown): never {
  throw new ServiceAuthUsageError(`${member} must be ${expected}. Its kind is: ${kindOf(given)}.`);
}

/**
 * The type of a value, or the name of its class. An own `constructor` may be content, so only the prototype's counts.
 */
function kindOf(value: unknown): string {
  if (!isObject(value)) return value === null ? 'null' : typeof value;
  const prototype: unknown = Object.getPrototypeOf(value);
  const maker: unknown =
    isObject(prototype) && Object.hasOwn(prototype, 'constructor') && prototype.constructor;
  return typeof maker === 'function' && maker.name !== '' ? maker.name : 'object';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Every comparison with NaN is false: with a limit of NaN every list would pass as complete. */
function isCount(value: unknown): boolean {
  return value === undefined || (Number.isInteger(value) && Number(value) >= 0);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}
