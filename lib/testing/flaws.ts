import { hashBody, type RefusalCode } from '../core/index.js';
import { createThrowAwayKey, toSigningKey } from './throw-away-keys.js';
import { type TokenDraft, withClaims } from './token-draft.js';

/** Each flaw that a test can give its request, with the code of the refusal. */
export const FLAWS = {
  'no-token': 'token_missing',
  expired: 'token_expired',
  'not-yet-valid': 'token_not_yet_valid',
  'lifetime-too-long': 'lifetime_too_long',
  'unknown-issuer': 'issuer_unknown',
  'unknown-key': 'key_unknown',
  'forged-signature': 'signature_invalid',
  'wrong-audience': 'audience_mismatch',
  'tampered-method': 'request_mismatch',
  'tampered-target': 'request_mismatch',
  'tampered-content-type': 'header_mismatch',
  'tampered-content-encoding': 'header_mismatch',
  'tampered-body': 'body_mismatch',
  replayed: 'token_replayed',
} as const satisfies Record<string, RefusalCode>;

/** A name of {@link FLAWS}. */
export type Flaw = keyof typeof FLAWS;

/** Each flaw that a test can give a message or a job, with the code of the refusal. */
export const MESSAGE_FLAWS = {
  'no-token': 'token_missing',
  expired: 'token_expired',
  'not-yet-valid': 'token_not_yet_valid',
  'lifetime-too-long': 'lifetime_too_long',
  'unknown-issuer': 'issuer_unknown',
  'unknown-key': 'key_unknown',
  'forged-signature': 'signature_invalid',
  'wrong-audience': 'audience_mismatch',
  'tampered-target': 'request_mismatch',
  'tampered-body': 'body_mismatch',
} as const satisfies Partial<typeof FLAWS>;

/** The flaws of the token; the others are flaws of the request. */
type TokenFlaw = Exclude<Flaw, 'no-token' | 'replayed'>;

type ApplyFlaw = (draft: TokenDraft, nowSeconds: number) => TokenDraft | Promise<TokenDraft>;

/** Longer than any configurable lifetime plus tolerance, in seconds: messages live for up to 7 days. */
export const LONG = 8 * 24 * 60 * 60;

/** A service that no receiver trusts. */
export const NOBODY = 'https://nobody.test/';

const APPLY: Readonly<Record<TokenFlaw, ApplyFlaw>> = {
  expired: (draft, now) => withClaims(draft, { iat: now - LONG - 30, exp: now - LONG }),
  'not-yet-valid': (draft, now) => withClaims(draft, { iat: now + LONG, exp: now + LONG + 30 }),
  'lifetime-too-long': (draft, now) => withClaims(draft, { iat: now, exp: now + LONG }),
  'unknown-issuer': (draft) => withClaims(draft, { iss: NOBODY }),
  'unknown-key': (draft) => ({ ...draft, header: { ...draft.header, kid: 'nobody' } }),
  'forged-signature': forge,
  'wrong-audience': (draft) => withClaims(draft, { aud: NOBODY }),
  'tampered-method': (draft) => withClaims(draft, { req: `TAMPERED ${requestOf(draft).target}` }),
  'tampered-target': (draft) => {
    const { method, target } = requestOf(draft);
    return withClaims(draft, { req: `${method} ${target}-tampered` });
  },
  'tampered-content-type': (draft) => tamperHeader(draft, 'content-type', 'application/tampered'),
  'tampered-content-encoding': (draft) => tamperHeader(draft, 'content-encoding', 'tampered'),
  'tampered-body': (draft) =>
    withClaims(draft, { bdy: hashBody('sha256', Buffer.from('tampered')) }),
};

/** Whether a flaw is in the token itself. */
export function isTokenFlaw(flaw: Flaw): flaw is TokenFlaw {
  return Object.hasOwn(APPLY, flaw);
}

/** The draft of a valid token, with one flaw. */
export async function applyFlaw(
  flaw: TokenFlaw,
  draft: TokenDraft,
  nowSeconds: number,
): Promise<TokenDraft> {
  return await APPLY[flaw](draft, nowSeconds);
}

/** The request to which a token is bound; any request if the token binds none. */
function requestOf({ claims }: TokenDraft): { method: string; target: string } {
  const { req } = claims;
  const [method = '', target = ''] = typeof req === 'string' ? req.split(' ') : ['ANY', '/'];
  return { method, target };
}

function tamperHeader(draft: TokenDraft, name: string, value: string): TokenDraft {
  const { hdr } = draft.claims;
  const bound = typeof hdr === 'object' ? hdr : {};
  return withClaims(draft, { hdr: { ...bound, [name]: value } });
}

/** Signs with another key, under the key id that the receiver knows. */
export async function forge(draft: TokenDraft): Promise<TokenDraft> {
  const { key } = await toSigningKey(createThrowAwayKey(draft.key.algorithm));
  return { ...draft, key: { ...draft.key, key } };
}
