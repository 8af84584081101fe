import { SERVICE_URIS } from '../setup/services.js';
import type { SentRequest } from '../story/http-client.js';
import { NEWCOMER, OPERATOR } from '../story/story.js';
import { type Forger, ORDER, withRewrittenToken } from './forger.js';
import { SOMEONE_ELSE } from './users.js';

/** What the visitor may choose about an attempt. */
export interface AttemptInput {
  readonly kind: 'text' | 'user';
  readonly label: string;
  /** What it is unless the visitor says otherwise. */
  readonly byDefault: string;
  readonly maxLength: number;
  /** A regular expression for the whole of it, in words in `hint`. */
  readonly pattern?: string;
  readonly hint?: string;
}

/** A part of a request, for the page to point at: `body`, `target`, `content-type`, `token`, `grant`, `signature`, `header.alg`, `claims.exp`, `grant.iat` and so on. */
export type RequestPart = string;

/** One thing that somebody on the wire might try. */
export interface Attempt {
  readonly id: string;
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
  readonly make: (forger: Forger, input: string) => Promise<readonly SentRequest[]>;
}

const TEN_MINUTES_MILLISECONDS = 600_000;
const HOUR_MILLISECONDS = 3_600_000;
const NOTHING = 'Change nothing';
const REQUEST = 'Change the request';
const TOKEN = 'Change the token';
const REUSE = 'Use the right key wrongly';
const KEY = 'Use another key';
const LEAVE_OUT = 'Leave something out';
const STOLEN = 'Steal Herald’s private key, and ask Census for user 42';

export const ATTEMPTS: readonly Attempt[] = [
  {
    id: 'untouched',
    group: NOTHING,
    title: 'Send it as it was signed',
    does: 'The request arrives as another.service signed it. User 42 gets an e-mail.',
    expected: '201',
    changed: [],
    make: async (forger) => [await forger.signed()],
  },
  {
    id: 'body',
    group: REQUEST,
    title: 'Change the body',
    does: 'The order names another user than the one that was signed.',
    expected: '401 body_mismatch',
    changed: ['body'],
    input: {
      kind: 'text',
      label: 'Body to send instead',
      byDefault: JSON.stringify({ ...ORDER, user: SOMEONE_ELSE }),
      maxLength: 1000,
    },
    make: async (forger, body) => [{ ...(await forger.signed()), body }],
  },
  {
    id: 'path',
    group: REQUEST,
    title: 'Change the path',
    does: 'Signed for /notification/, sent to another path or with another query.',
    expected: '401 request_mismatch',
    changed: ['target'],
    input: {
      kind: 'text',
      label: 'Path to send it to instead',
      byDefault: '/notification/?copy=everybody',
      maxLength: 200,
      pattern: '/notification/?(\\?[\\w~!$&*+,;=:@%\\-]*)?',
      hint: 'write /notification or /notification/, with or without a query.',
    },
    make: async (forger, path) => [{ ...(await forger.signed()), url: forger.urlOf(path) }],
  },
  {
    id: 'content-type',
    group: REQUEST,
    title: 'Change a header',
    does: 'The Content-Type says that the same bytes are something else than JSON.',
    expected: '401 header_mismatch',
    changed: ['content-type'],
    make: async (forger) => {
      const signed = await forger.signed();
      const headers = { ...signed.headers, 'content-type': 'text/plain' };
      return [{ ...signed, headers }];
    },
  },
  {
    id: 'user',
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
    group: REUSE,
    title: 'Replay it',
    does: 'A good request is sent twice, every byte the same.',
    expected: '401 token_replayed',
    changed: ['claims.jti'],
    make: async (forger) => {
      const signed = await forger.signed();
      return [signed, signed];
    },
  },
  {
    id: 'expired',
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
    group: REUSE,
    title: 'Send it to another service',
    does: 'The token is meant for Census. Herald receives it.',
    expected: '401 audience_mismatch',
    changed: ['claims.aud'],
    make: async (forger) => [await forger.signed({ audience: SERVICE_URIS.census })],
  },
  {
    id: 'outsider',
    group: REUSE,
    title: 'Speak for an outsider',
    does: 'The right key signs for a user who is none of Census’s.',
    expected: '403 subject_not_allowed',
    changed: ['claims.sub'],
    make: async (forger) => [
      await forger.signed({ subject: 'https://elsewhere.service/user/1/', grant: undefined }),
    ],
  },
  {
    id: 'foreign-key',
    group: KEY,
    title: 'Sign with a key of your own',
    does: 'It says another.service, and is signed with a key made a moment ago.',
    expected: '401 key_unknown',
    changed: ['header.kid', 'signature'],
    make: async (forger) => [await forger.signedWithForeignKey()],
  },
  {
    id: 'known-key-id',
    group: KEY,
    title: 'And borrow the key id',
    does: 'The same, with the id of another.service’s real key on it.',
    expected: '401 signature_invalid',
    changed: ['signature'],
    make: async (forger) => [await forger.signedUnderKnownKeyId()],
  },
  {
    id: 'stranger',
    group: KEY,
    title: 'Come as a stranger',
    does: 'A service that Herald does not know signs properly, in its own name.',
    expected: '401 issuer_unknown',
    changed: ['claims.iss'],
    make: async (forger) => [
      await forger.signedWithForeignKey({ issuer: 'https://stranger.service/' }),
    ],
  },
  {
    id: 'missing',
    group: LEAVE_OUT,
    title: 'Send no token',
    does: 'The plain request, without a JWT header.',
    expected: '401 token_missing',
    changed: ['token'],
    make: async (forger) => await Promise.resolve([forger.unsigned()]),
  },
  {
    id: 'no-user',
    group: LEAVE_OUT,
    title: 'Name no user',
    does: 'another.service signs for itself, where Herald wants a user to act for.',
    expected: '403 subject_missing',
    changed: ['claims.sub'],
    make: async (forger) => [await forger.signed({ subject: null, grant: undefined })],
  },
  {
    id: 'user-present',
    group: STOLEN,
    title: 'While user 42 is here',
    does: 'Edge has just made a grant for user 42, and it came through Herald.',
    expected: '200',
    changed: [],
    make: async (forger) => [await forger.signedAsHerald({ grant: await forger.grant(NEWCOMER) })],
  },
  {
    id: 'user-absent',
    group: STOLEN,
    title: 'Herald acts for a user who is not here',
    does: 'Herald’s key signs for user 42, who never came. There is no grant to send.',
    expected: '403 grant_missing',
    changed: ['grant'],
    make: async (forger) => [await forger.signedAsHerald()],
  },
  {
    id: 'hour-later',
    group: STOLEN,
    title: 'An hour later',
    does: 'The thief kept the grant of user 42 when it came by, and uses it an hour after that.',
    expected: '403 grant_expired',
    changed: ['grant.iat', 'grant.exp'],
    make: async (forger) => {
      const hourAgo = (): number => Date.now() - HOUR_MILLISECONDS;
      return [await forger.signedAsHerald({ grant: await forger.grant(NEWCOMER, hourAgo) })];
    },
  },
  {
    id: 'other-grant',
    group: STOLEN,
    title: 'Another user’s grant',
    does: 'The operator is here just now. The grant of the operator is sent along for user 42.',
    expected: '403 grant_mismatch',
    changed: ['grant.sub'],
    make: async (forger) => [await forger.signedAsHerald({ grant: await forger.grant(OPERATOR) })],
  },
];
