import { isUtf8 } from 'node:buffer';
import { createHash, type KeyObject } from 'node:crypto';
import { errors, jwtVerify } from 'jose';
import { isMembers, type JsonMembers, parseStrictJson } from './strict-json.js';

/**
 * A second implementation of docs/protocol.md, written from that page: `jwtVerify` of jose for what
 * jose checks, and code of its own for what jose lets through. It imports nothing of the library.
 */

/** A trusted issuer, with the one key it has. */
export interface OracleIssuer {
  readonly issuer: string;
  readonly profile: 'strict' | 'original';
  readonly algorithm: string;
  readonly keyId: string;
  readonly publicKey: KeyObject;
  /** Prefixes of the users it may speak for. */
  readonly subjects?: readonly string[];
}

/** What a receiver is configured with. */
export interface OracleReceiver {
  readonly audiences: readonly string[];
  readonly issuers: readonly OracleIssuer[];
  /** Whole seconds: jose knows no others. */
  readonly nowSeconds: number;
  readonly toleranceSeconds: number;
  readonly maxStrictLifetimeSeconds: number;
}

export interface OracleRequest {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly body: Uint8Array;
}

/** The times of a token, and the clock it is judged by. All in seconds. */
export interface OracleTimes {
  readonly iat?: number;
  readonly exp?: number;
  readonly nbf?: number;
  readonly hasTokenId: boolean;
  readonly now: number;
  readonly tolerance: number;
  readonly longest: number;
}

const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;
const ASYMMETRIC = /^(?:EdDSA|Ed25519|(?:ES|PS|RS)(?:256|384|512))$/;
const ORIGINAL_LIFETIME_SECONDS = 3600;
const METHOD = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const DIGESTS: Record<number, string> = { 32: 'md5', 64: 'sha256', 96: 'sha384', 128: 'sha512' };
const REQUIRED = {
  strict: ['iss', 'aud', 'iat', 'exp', 'jti', 'req'],
  original: ['iss', 'aud', 'sub'],
} as const;

/** Why something is not acceptable, as an exception so that the first fault ends the reading. */
class Fault extends Error {}

function demand(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Fault(otherwise);
}

/** Why the receiver must refuse the request; undefined when nothing speaks against it. */
export async function findFault(
  request: OracleRequest,
  receiver: OracleReceiver,
): Promise<string | undefined> {
  try {
    await judge(request, receiver);
    return undefined;
  } catch (error) {
    if (error instanceof Fault) return error.message;
    throw error;
  }
}

async function judge(request: OracleRequest, receiver: OracleReceiver): Promise<void> {
  const values = valuesOf(request.rawHeaders, 'jwt');
  demand(values.length === 1, 'not one token');
  const token = values[0] ?? '';
  const { header, claims } = splitToken(token);
  checkHeaderTypes(header);
  checkClaimTypes(claims);
  const trusted = receiver.issuers.find(({ issuer }) => issuer === claims['iss']);
  demand(trusted !== undefined, 'issuer');
  checkHeaderForm(header, trusted);
  checkClaimForm(claims, trusted);
  const fault = await findJoseFault(token, trusted, receiver);
  demand(fault === undefined, `jose: ${fault}`);
  checkTimes(claims, trusted, receiver);
  demand(receiver.audiences.includes(String(claims['aud'])), 'aud');
  if (trusted.profile === 'strict') checkRequest(claims, request);
  checkBody(claims, request);
  const { sub } = claims;
  if (typeof sub === 'string' && trusted.subjects) {
    demand(!hasDotSegment(sub), 'sub with a dot segment');
    demand(
      trusted.subjects.some((prefix) => sub.startsWith(prefix)),
      'sub outside the prefixes',
    );
  }
}

/** The verdict of jose with every option that the protocol gives it; undefined: accepted. */
export async function findJoseFault(
  token: string,
  trusted: OracleIssuer,
  receiver: OracleReceiver,
): Promise<string | undefined> {
  const isStrict = trusted.profile === 'strict';
  try {
    await jwtVerify(token, trusted.publicKey, {
      algorithms: [trusted.algorithm],
      issuer: trusted.issuer,
      audience: [...receiver.audiences],
      clockTolerance: receiver.toleranceSeconds,
      currentDate: new Date(receiver.nowSeconds * 1000),
      requiredClaims: [...REQUIRED[trusted.profile]],
      ...(isStrict ? { typ: 'svc+jwt', maxTokenAge: receiver.maxStrictLifetimeSeconds } : {}),
    });
    return undefined;
  } catch (error) {
    if (error instanceof errors.JOSEError) return `${error.code} ${error.message}`;
    throw error;
  }
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name);
}

/** Takes a token apart by its grammar alone. */
function splitToken(token: string): { header: JsonMembers; claims: JsonMembers } {
  demand(token.length <= 8192, 'length');
  const [, header, claims, signature] = COMPACT.exec(token) ?? [];
  demand(header !== undefined && claims !== undefined && signature !== undefined, 'grammar');
  demand(isCanonical(signature), 'base64url');
  return { header: readSegment(header, 16), claims: readSegment(claims, 64) };
}

function readSegment(segment: string, most: number): JsonMembers {
  demand(isCanonical(segment), 'base64url');
  const members = readObject(Buffer.from(segment, 'base64'));
  demand(countValues(members) <= most, 'too many values');
  return members;
}

function countValues(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce<number>((sum, one) => sum + 1 + countValues(one), 0);
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** RFC 4648 section 3.5: the bits that no byte uses are zero, told by the last character. */
function isCanonical(segment: string): boolean {
  const last = ALPHABET.indexOf(segment.at(-1) ?? '');
  const unused = [0, 64, 16, 4][segment.length % 4] ?? 1;
  return unused === 0 || (unused < 64 && last % unused === 0);
}

/** An object of JSON in UTF-8, unambiguous. @throws when it is none */
function readObject(bytes: Uint8Array): JsonMembers {
  demand(isUtf8(bytes), 'utf-8');
  const value = parseOrFault(Buffer.from(bytes).toString('utf8'));
  demand(isMembers(value), 'no object');
  return value;
}

function parseOrFault(text: string): unknown {
  try {
    return parseStrictJson(text);
  } catch (error) {
    throw new Fault(`json: ${error instanceof Error ? error.message : 'no error'}`);
  }
}

/** Why bytes are not an object that everybody reads the same way. */
export function findObjectFault(bytes: Uint8Array): string | undefined {
  return faultOf(() => readObject(bytes));
}

/** Why a JOSE header is refused whatever the profile, or else under this one. */
export function findHeaderFault(
  bytes: Uint8Array,
  profile?: OracleIssuer['profile'],
): string | undefined {
  return faultOf(() => {
    const header = readObject(bytes);
    checkHeaderTypes(header);
    if (profile) checkHeaderProfile(header, profile);
  });
}

/** Why claims are refused whatever the profile, or else under this one. */
export function findClaimsFault(
  bytes: Uint8Array,
  profile?: OracleIssuer['profile'],
): string | undefined {
  return faultOf(() => {
    const claims = readObject(bytes);
    checkClaimTypes(claims);
    if (profile) checkRequired(claims, profile);
  });
}

/** Why claims are not those of a grant that may live so long. */
export function findGrantFault(bytes: Uint8Array, longestSeconds: number): string | undefined {
  return faultOf(() => checkGrant(readObject(bytes), longestSeconds));
}

function checkGrant(claims: JsonMembers, longestSeconds: number): void {
  const { iss, aud, sub, iat, exp, txn, scope, req_wl: asker } = claims;
  demand([iss, asker].every((name) => typeof name === 'string') && asker !== '', 'iss, req_wl');
  demand(typeof aud === 'string' && aud.length >= 1 && aud.length <= 256, 'aud');
  demand(
    aud.split('').every((character) => character > ' ' && character < '\x7f'),
    'aud',
  );
  demand(typeof sub === 'string', 'sub');
  checkSubject(sub);
  demand(
    [iat, exp].every((time) => typeof time === 'number' && Number.isFinite(time)),
    'times',
  );
  const life = Number(exp) - Number(iat);
  demand(Number(exp) > Number(iat) && life <= longestSeconds, 'exp');
  demand(typeof txn === 'string' && txn.length >= 16 && txn.length <= 256, 'txn');
  demand(!/[\p{Cc}\p{Z}]/u.test(txn), 'txn');
  demand(typeof scope === 'string', 'scope');
  const isScope = (text: string) => text !== '' && text.split('').every(isOfScope);
  demand(scope.split(' ').every(isScope), 'scope');
  checkContexts(claims);
}

const isOfScope = (character: string): boolean =>
  character > ' ' && character < '\x7f' && character !== '"' && character !== '\\';

function checkContexts({ acr, auth_time: authTime, amr, tctx, rctx }: JsonMembers): void {
  demand(acr === undefined || typeof acr === 'string', 'acr');
  demand(authTime === undefined || Number.isFinite(authTime), 'auth_time');
  demand(
    amr === undefined || (Array.isArray(amr) && amr.every((one) => typeof one === 'string')),
    'amr',
  );
  for (const context of [tctx, rctx])
    demand(context === undefined || isMembers(context), 'context');
}

/** Why the value of a header is not one token, by its grammar alone. */
export function findSyntaxFault(token: string): string | undefined {
  return faultOf(() => splitToken(token));
}

/** Why a subject is refused. */
export function findSubjectFault(subject: string): string | undefined {
  return faultOf(() => checkSubject(subject));
}

function faultOf(check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof Fault) return error.message;
    throw error;
  }
}

function checkHeaderTypes(header: JsonMembers): void {
  const { alg, kid, typ } = header;
  demand(typeof alg === 'string' && ASYMMETRIC.test(alg), 'alg');
  demand(!('crit' in header), 'crit');
  if ('kid' in header) {
    demand(typeof kid === 'string' && kid.length >= 1 && kid.length <= 256, 'kid');
    demand(!hasControl(kid), 'kid');
  }
  if ('typ' in header) demand(typeof typ === 'string', 'typ');
}

function checkHeaderProfile(header: JsonMembers, profile: OracleIssuer['profile']): void {
  const { typ } = header;
  if (profile === 'strict') {
    demand(Object.keys(header).toSorted().join() === 'alg,kid,typ', 'members');
    demand(typeof typ === 'string' && /^(?:application\/)?svc\+jwt$/i.test(typ), 'typ');
  } else if ('typ' in header) {
    demand(typeof typ === 'string' && /^(?:application\/)?jwt$/i.test(typ), 'typ');
  }
}

function checkHeaderForm(header: JsonMembers, trusted: OracleIssuer): void {
  checkHeaderProfile(header, trusted.profile);
  demand(!('kid' in header) || header['kid'] === trusted.keyId, 'kid');
  demand(header['alg'] === trusted.algorithm, 'alg of the key');
}

function checkClaimTypes(claims: JsonMembers): void {
  demand('iss' in claims, 'iss');
  for (const name of ['iss', 'aud', 'sub', 'jti', 'req', 'bdy']) {
    if (name in claims) demand(typeof claims[name] === 'string' && claims[name] !== '', name);
  }
  for (const name of ['iat', 'exp', 'nbf']) {
    if (name in claims) demand(Number.isFinite(claims[name]), name);
  }
  const { sub, jti, req, bdy } = claims;
  if (typeof sub === 'string') checkSubject(sub);
  if (typeof jti === 'string') {
    const { length } = Array.from(jti);
    demand(length >= 16 && length <= 256, 'jti');
    demand(!hasControl(jti) && !/\p{Z}/u.test(jti), 'jti');
  }
  if (typeof req === 'string') {
    demand(req.length <= 4096 && new RegExp(`^${METHOD} [^ ]+$`).test(req), 'req');
  }
  if (typeof bdy === 'string') demand(/^[0-9a-f]+$/.test(bdy) && bdy.length in DIGESTS, 'bdy');
  if ('hdr' in claims) checkBoundHeaders(claims['hdr']);
}

function checkBoundHeaders(hdr: unknown): void {
  demand(isMembers(hdr), 'hdr');
  const members = Object.entries(hdr);
  demand(members.length <= 32, 'hdr');
  for (const [name, value] of members) {
    demand(new RegExp(`^${METHOD}$`).test(name) && name === name.toLowerCase(), 'hdr');
    demand(typeof value === 'string', 'hdr');
  }
}

function checkRequired(claims: JsonMembers, profile: OracleIssuer['profile']): void {
  for (const name of REQUIRED[profile]) demand(name in claims, `${name} is missing`);
  const { bdy } = claims;
  demand(profile === 'original' || typeof bdy !== 'string' || bdy.length > 32, 'bdy is MD5');
}

function checkClaimForm(claims: JsonMembers, trusted: OracleIssuer): void {
  checkRequired(claims, trusted.profile);
}

const REFUSED_SCHEMES = 'javascript vbscript data blob file about filesystem view-source'.split(
  ' ',
);

function checkSubject(subject: string): void {
  demand(subject.length <= 1024, 'sub is too long');
  demand(!/[\p{Cc}\p{Cf}\p{Z}\p{Cs}]/u.test(subject), 'sub with an unsafe character');
  const colon = subject.indexOf(':');
  const scheme = subject.slice(0, Math.max(colon, 0)).toLowerCase();
  const rest = subject.slice(colon + 1);
  demand(/^[a-z][a-z0-9+.-]*$/.test(scheme) && rest !== '', 'sub is no absolute URI');
  demand(!REFUSED_SCHEMES.includes(scheme), 'sub with a refused scheme');
  if (rest.startsWith('//')) {
    const authority = rest.slice(2).split(/[/?#]/)[0] ?? '';
    demand(!authority.includes('@'), 'sub with credentials');
  }
  if (scheme === 'http' || scheme === 'https') {
    demand(rest.startsWith('//') && rest[2] !== undefined && rest[2] !== '/', 'sub without a host');
    demand(URL.canParse(subject), 'sub is no URL');
  }
}

/** Whether a resolver somewhere could step out of a path: decoded once, either slash. */
/** Escapes byte by byte, until nothing is escaped any more; each state in between is looked at. */
function hasDotSegment(subject: string): boolean {
  const states = [subject];
  for (;;) {
    const text = states.at(-1) ?? '';
    const bytes = Buffer.from(text).toString('latin1');
    const unescaped = bytes.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    if (unescaped === bytes) break;
    // Five states of escapes are more than anybody means.
    if (states.length > 4) return true;
    states.push(Buffer.from(unescaped, 'latin1').toString());
  }
  return states.some((text) => isOverlong(text) || textHasDotSegment(text));
}

const isOverlong = (text: string): boolean => /%(?:c[01]|e0%[89]|f0%8|u[0-9a-f]{4})/i.test(text);

function textHasDotSegment(text: string): boolean {
  const [, ...segments] = text.normalize('NFKC').split(/[/\\\u2044\u2215\u2216\u29f5\u29f8\u29f9]/);
  return segments.some((segment) => {
    const name = Array.from(segment.replace(/[;?#][^]*$/, '')).filter(
      (character) => !/[\p{C}\p{Z}]/u.test(character),
    );
    return name.length > 0 && name.every((character) => '.\u3002'.includes(character));
  });
}

function hasControl(text: string): boolean {
  return Array.from(text).some((character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
  });
}

function checkTimes(claims: JsonMembers, trusted: OracleIssuer, receiver: OracleReceiver): void {
  const { iat, exp, nbf } = claims as { iat?: number; exp?: number; nbf?: number };
  const longest =
    trusted.profile === 'strict' ? receiver.maxStrictLifetimeSeconds : ORIGINAL_LIFETIME_SECONDS;
  const fault = findTimesFault({
    iat,
    exp,
    nbf,
    hasTokenId: 'jti' in claims,
    now: receiver.nowSeconds,
    tolerance: receiver.toleranceSeconds,
    longest,
  });
  demand(fault === undefined, `times: ${fault}`);
}

/** Why a token must be refused by its times. */
export function findTimesFault(times: OracleTimes): string | undefined {
  const { iat, exp, nbf, hasTokenId, now, tolerance, longest } = times;
  const faults = [
    exp !== undefined && exp + tolerance <= now && 'expired',
    iat !== undefined && iat - tolerance > now && 'issued later',
    nbf !== undefined && nbf - tolerance > now && 'not before later',
    exp !== undefined && iat !== undefined && exp <= iat && 'exp not after iat',
    exp !== undefined && nbf !== undefined && exp < nbf && 'exp before nbf',
    exp !== undefined && iat !== undefined && exp - iat > longest && 'lives too long',
    exp !== undefined &&
      iat === undefined &&
      hasTokenId &&
      exp - tolerance > now + longest &&
      'lives too long',
    // What is used once is forgotten one day, so it must not be good for ever.
    (exp !== undefined || hasTokenId) &&
      iat !== undefined &&
      iat + longest + tolerance <= now &&
      'issued too long ago',
  ];
  return faults.find((fault) => typeof fault === 'string');
}

function checkRequest(claims: JsonMembers, request: OracleRequest): void {
  demand(claims['req'] === `${request.method} ${request.target}`, 'req differs');
  const hdr = isMembers(claims['hdr']) ? claims['hdr'] : {};
  for (const [name, value] of Object.entries(hdr)) {
    const values = valuesOf(request.rawHeaders, name);
    demand(values.length === 1 && values[0] === value, 'hdr differs');
  }
  if (request.body.length === 0) return;
  for (const name of ['content-type', 'content-encoding', 'content-range']) {
    const isSent = valuesOf(request.rawHeaders, name).length > 0;
    demand(!isSent || Object.hasOwn(hdr, name), `${name} unbound`);
  }
}

function checkBody(claims: JsonMembers, request: OracleRequest): void {
  const codings = valuesOf(request.rawHeaders, 'transfer-encoding');
  const isPlain = codings.length === 0 || /^chunked$/i.test(codings.join());
  demand(isPlain, 'the bytes are coded');
  const { bdy } = claims;
  if (typeof bdy !== 'string') {
    demand(request.body.length === 0, 'bdy is missing');
    return;
  }
  const algorithm = DIGESTS[bdy.length] ?? '';
  demand(createHash(algorithm).update(request.body).digest('hex') === bdy, 'bdy differs');
}
