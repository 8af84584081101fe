import { SERVICE_URIS } from '../setup/services.js';
import { NEWCOMER, OPERATOR } from '../story/story.js';
import { type ForgedRequest, tampered, withRewrittenToken } from './forged-request.js';
import { type Forger, ORDER } from './forger.js';
import { SOMEONE_ELSE } from './users.js';

/** What the visitor may choose about an attempt. */
export interface AttemptInput {
  readonly kind: 'text' | 'user';
  readonly label: string;
  /** The value that the visitor finds in the field. */
  readonly byDefault: string;
  readonly maxLength: number;
  /** A regular expression for the whole value; `hint` says it in words. */
  readonly pattern?: string;
  readonly hint?: string;
}

/** A part of a request, for the page to point at: `body`, `target`, `content-type`, `token`, `grant`, `signature`, `header.alg`, `claims.exp`, `grant.iat` and so on. */
export type RequestPart = string;

/** `first`: large, before all others; `more`: folded; `grants`: with Herald's stolen key. */
export type AttemptPlace = 'first' | 'more' | 'grants';

/** One thing that somebody on the wire might try. */
export interface Attempt {
  readonly id: string;
  /** The part of the page that shows it. */
  readonly place: AttemptPlace;
  readonly group: string;
  readonly title: string;
  /** What is done to the request. */
  readonly does: string;
  /** What the receiver answers, given the default input: `401 body_mismatch`. */
  readonly expected: string;
  /** What was changed. */
  readonly changed: readonly RequestPart[];
  readonly input?: AttemptInput;
  /** The requests to send, one after the other; the last one is the attempt. */
  readonly make: (forger: Forger, input: string) => Promise<readonly ForgedRequest[]>;
}

const TEN_MINUTES_MILLISECONDS = 600_000;
const HOUR_MILLISECONDS = 3_600_000;
const NOTHING = 'Change nothing';
const REQUEST = 'Change the request';
const TOKEN = 'Change the token';
const REUSE = 'Use the right key wrongly';
const KEY = 'Use another key';
const LEAVE_OUT = 'Leave something out';
const STOLEN = 'Ask Census for user 42, with Herald’s private key';

export const ATTEMPTS: readonly Attempt[] = [
  {
    id: 'untouched',
    place: 'more',
    group: NOTHING,
    title: 'Send it as it was signed',
    does: 'The request arrives as another.service signed it. User 42 gets an e-mail.',
    expected: '201',
    changed: [],
    make: async (forger) => [await forger.signed()],
  },
  {
    id: 'body',
    place: 'first',
    group: REQUEST,
    title: 'Change the body',
    does: 'Somebody on the wire changes the order after it was signed. Write any body you like.',
    expected: '401 body_mismatch',
    changed: ['body'],
    input: {
      kind: 'text',
      label: 'Body to send',
      byDefault: JSON.stringify({ ...ORDER, user: SOMEONE_ELSE }),
      maxLength: 1000,
    },
    make: async (forger, body) => [tampered(await forger.signed(), { body })],
  },
  {
    id: 'path',
    place: 'more',
    group: REQUEST,
    title: 'Change the path',
    does: 'Signed for /notification/, sent to another path or with another query.',
    expected: '401 request_mismatch',
    changed: ['target'],
    input: {
      kind: 'text',
      label: 'Path to send it to',
      byDefault: '/notification/?copy=everybody',
      maxLength: 200,
      pattern: '/notification/?(\\?[\\w~!$&*+,;=:@%\\-]*)?',
      hint: 'write /notification or /notification/, with or without a query.',
    },
    make: async (forger, path) => [tampered(await forger.signed(), { url: forger.urlOf(path) })],
  },
  {
    id: 'content-type',
    place: 'more',
    group: REQUEST,
    title: 'Change a header',
    does: 'The Content-Type says that the same bytes are something else than JSON.',
    expected: '401 header_mismatch',
    changed: ['content-type'],
    make: async (forger) => {
      const signed = await forger.signed();
      const headers = { ...signed.headers, 'content-type': 'text/plain' };
      return [tampered(signed, { headers })];
    },
  },
  {
    id: 'user',
    place: 'more',
    group: TOKEN,
    title: 'Change the user',
    does: 'Signed for user 7, who may not do this. sub is rewritten, and the signature stays.',
    expected: '401 signature_invalid',
    changed: ['claims.sub'],
    input: { kind: 'user', label: 'User to become', byDefault: OPERATOR, maxLength: 100 },
    make: async (forger, sub) => {
      const signed = await forger.signed({ subject: SOMEONE_ELSE });
      return [sub === SOMEONE_ELSE ? signed : withRewrittenToken(signed, { claims: { sub } })];
    },
  },
  {
    id: 'algorithm',
    place: 'more',
    group: TOKEN,
    title: 'Switch the signature off',
    does: 'alg is rewritten to “none”, as in the best known attack on JWTs.',
    expected: '401 algorithm_refused',
    changed: ['header.alg'],
    make: async (forger) => [
      withRewrittenToken(await forger.signed(), { header: { alg: 'none' } }),
    ],
  },
  {
    id: 'replay',
    place: 'first',
    group: REUSE,
    title: 'Replay the request',
    does: 'Somebody recorded a good request, and sends it again. Every byte is the same.',
    expected: '401 token_replayed',
    changed: ['claims.jti'],
    make: async (forger) => {
      const signed = await forger.signed();
      return [signed, signed];
    },
  },
  {
    id: 'expired',
    place: 'more',
    group: REUSE,
    title: 'Send it too late',
    does: 'The token was signed ten minutes ago, with the right key.',
    expected: '401 token_expired',
    changed: ['claims.exp'],
    make: async (forger) => [
      await forger.signed({ now: () => Date.now() - TEN_MINUTES_MILLISECONDS }),
    ],
  },
  {
    id: 'audience',
    place: 'first',
    group: REUSE,
    title: 'Steal a token, use it elsewhere',
    does: 'A token for Census is stolen on its way. The thief sends it to Herald.',
    expected: '401 audience_mismatch',
    changed: ['claims.aud'],
    make: async (forger) => [await forger.signed({ audience: SERVICE_URIS.census })],
  },
  {
    id: 'outsider',
    place: 'more',
    group: REUSE,
    title: 'Speak for an outsider',
    does: 'The right key signs for a user who is not a user of Census.',
    expected: '403 subject_not_allowed',
    changed: ['claims.sub'],
    make: async (forger) => [
      await forger.signed({ subject: 'https://elsewhere.service/user/1/', grant: undefined }),
    ],
  },
  {
    id: 'foreign-key',
    place: 'more',
    group: KEY,
    title: 'Sign with a key of your own',
    does: 'The token says another.service. A key made a moment ago signs it.',
    expected: '401 key_unknown',
    changed: ['header.kid', 'signature'],
    make: async (forger) => [await forger.signedWithForeignKey()],
  },
  {
    id: 'known-key-id',
    place: 'more',
    group: KEY,
    title: 'Borrow the key id',
    does: 'The same foreign key, under the id of another.service’s real key.',
    expected: '401 signature_invalid',
    changed: ['signature'],
    make: async (forger) => [await forger.signedUnderKnownKeyId()],
  },
  {
    id: 'stranger',
    place: 'more',
    group: KEY,
    title: 'Call as a stranger',
    does: 'A service that Herald does not know signs properly, in its own name.',
    expected: '401 issuer_unknown',
    changed: ['claims.iss'],
    make: async (forger) => [
      await forger.signedWithForeignKey({ issuer: 'https://stranger.service/' }),
    ],
  },
  {
    id: 'missing',
    place: 'more',
    group: LEAVE_OUT,
    title: 'Send no token',
    does: 'The plain request, without a JWT header.',
    expected: '401 token_missing',
    changed: ['token'],
    make: async (forger) => await Promise.resolve([forger.unsigned()]),
  },
  {
    id: 'no-user',
    place: 'more',
    group: LEAVE_OUT,
    title: 'Name no user',
    does: 'another.service signs for itself, where Herald wants a user to act for.',
    expected: '403 subject_missing',
    changed: ['claims.sub'],
    make: async (forger) => [await forger.signed({ subject: null, grant: undefined })],
  },
  {
    id: 'user-present',
    place: 'grants',
    group: STOLEN,
    title: 'Herald acts for user 42, who is logged in',
    does: 'Edge has just made a grant for user 42. Herald sends it along.',
    expected: '200',
    changed: [],
    make: async (forger) => [await forger.signedAsHerald({ grant: await forger.grant(NEWCOMER) })],
  },
  {
    id: 'user-absent',
    place: 'grants',
    group: STOLEN,
    title: 'Herald acts for a user who is not here',
    does: 'A thief signs with Herald’s key for user 42, who never logged in. There is no grant to send.',
    expected: '403 grant_missing',
    changed: ['grant'],
    make: async (forger) => [await forger.signedAsHerald()],
  },
  {
    id: 'hour-later',
    place: 'grants',
    group: STOLEN,
    title: 'The thief keeps a grant for an hour',
    does: 'The thief copied the grant while user 42 was logged in, and sends it an hour later.',
    expected: '403 grant_expired',
    changed: ['grant.iat', 'grant.exp'],
    make: async (forger) => {
      const hourAgo = (): number => Date.now() - HOUR_MILLISECONDS;
      return [await forger.signedAsHerald({ grant: await forger.grant(NEWCOMER, hourAgo) })];
    },
  },
  {
    id: 'other-grant',
    place: 'grants',
    group: STOLEN,
    title: 'The thief takes the grant of another user',
    does: 'The operator is logged in now. The thief sends the operator’s grant along for user 42.',
    expected: '403 grant_mismatch',
    changed: ['grant.sub'],
    make: async (forger) => [await forger.signedAsHerald({ grant: await forger.grant(OPERATOR) })],
  },
];
