import { type Algorithm, isAlgorithm } from './algorithms.js';
import { refuse } from './errors.js';
import type { HeaderRules } from './profiles.js';
import type { UnverifiedObject } from './unambiguous-json.js';

/** The members of a JOSE header that the protocol knows, of the right types. */
export interface JoseHeader {
  readonly algorithm: Algorithm;
  readonly keyId: string | undefined;
  readonly type: string | undefined;
}

const MAX_KEY_ID_LENGTH = 256;
const CONTROL_CHARACTER = /\p{Cc}/u;

/**
 * Reads the JOSE header: types, no extension, an algorithm of the protocol. {@link assertHeaderProfile} checks which
 * members the issuer's profile allows.
 *
 * @throws ServiceTokenRefusedError `header_invalid`, `algorithm_refused`
 * @see RFC 7515 section 4.1
 */
export function readJoseHeader(header: UnverifiedObject): JoseHeader {
  const { alg, kid, typ } = header;
  if (typeof alg !== 'string') refuse('header_invalid', 'alg is not a string');
  if ('crit' in header) refuse('header_invalid', 'crit is refused');
  if (kid !== undefined && !isKeyId(kid)) refuse('header_invalid', 'kid is not acceptable');
  if (typ !== undefined && typeof typ !== 'string') refuse('header_invalid', 'typ is not a string');
  if (!isAlgorithm(alg)) refuse('algorithm_refused', 'alg is not one of the protocol');
  return { algorithm: alg, keyId: kid, type: typ };
}

/**
 * Asserts that the header has the form its issuer's profile prescribes.
 *
 * @throws ServiceTokenRefusedError `header_invalid`, `key_unknown` (no `kid` where one is required)
 */
export function assertHeaderProfile(
  header: JoseHeader,
  raw: UnverifiedObject,
  rules: HeaderRules,
): void {
  const stranger =
    rules.headerMembers && Object.keys(raw).find((n) => !rules.headerMembers?.has(n));
  if (stranger !== undefined) refuse('header_invalid', 'a member the profile does not allow');
  if (header.type === undefined ? rules.typeRequired : mediaType(header.type) !== rules.type) {
    refuse('header_invalid', `typ is not ${rules.type}`);
  }
  if (header.keyId === undefined && rules.keyIdRequired) refuse('key_unknown', 'no kid');
}

/** RFC 7515 section 4.1.9: compared without case, `application/` may be left out. */
function mediaType(typ: string): string {
  return typ.toLowerCase().replace(/^application\//, '');
}

function isKeyId(kid: unknown): kid is string {
  return (
    typeof kid === 'string' &&
    kid !== '' &&
    kid.length <= MAX_KEY_ID_LENGTH &&
    !CONTROL_CHARACTER.test(kid)
  );
}
