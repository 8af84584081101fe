import type { RefusalCode } from '../core/index.js';
import { forge, LONG, NOBODY } from './flaws.js';
import { draftOf, signDraft, type TokenDraft, withClaims } from './token-draft.js';
import { type ThrowAwayKey, toSigningKey } from './throw-away-keys.js';

/** Each flaw that a test can give its grant, with the code of the refusal. */
export const GRANT_FLAWS = {
  'no-grant': 'grant_missing',
  'grant-without-claim': 'grant_mismatch',
  'claim-without-grant': 'grant_mismatch',
  'two-grants': 'grant_repeated',
  'swapped-grant': 'grant_mismatch',
  'grant-of-another-user': 'grant_mismatch',
  'grant-of-another-trust-domain': 'grant_mismatch',
  'expired-grant': 'grant_expired',
  'not-yet-valid-grant': 'grant_not_yet_valid',
  'grant-lifetime-too-long': 'grant_invalid',
  'grant-of-an-unknown-originator': 'originator_unknown',
  'grant-of-an-unknown-key': 'grant_invalid',
  'forged-grant': 'grant_invalid',
} as const satisfies Record<string, RefusalCode>;

/** A name of {@link GRANT_FLAWS}. */
export type GrantFlaw = keyof typeof GRANT_FLAWS;

type ApplyFlaw = (draft: TokenDraft, nowSeconds: number) => TokenDraft | Promise<TokenDraft>;

/** Longer than any configurable lifetime of a grant plus tolerance, in seconds. */
const WEEK_AND_MORE = 604_800 + LONG;

/** The flaws of the grant itself; the others are flaws of the request. */
const APPLY: Readonly<Partial<Record<GrantFlaw, ApplyFlaw>>> = {
  'grant-of-another-user': (draft) => withClaims(draft, { sub: `${NOBODY}user/1/` }),
  'grant-of-another-trust-domain': (draft) => withClaims(draft, { aud: NOBODY }),
  'expired-grant': (draft, now) => withClaims(draft, { iat: now - LONG - 30, exp: now - LONG }),
  'not-yet-valid-grant': (draft, now) =>
    withClaims(draft, { iat: now + LONG, exp: now + LONG + 30 }),
  'grant-lifetime-too-long': (draft, now) =>
    withClaims(draft, { iat: now, exp: now + WEEK_AND_MORE }),
  'grant-of-an-unknown-originator': (draft) => withClaims(draft, { iss: NOBODY }),
  'grant-of-an-unknown-key': (draft) => ({ ...draft, header: { ...draft.header, kid: 'nobody' } }),
  'forged-grant': forge,
};

/** Whether a flaw is one of grants. */
export function isGrantFlaw(flaw: string | undefined): flaw is GrantFlaw {
  return flaw !== undefined && Object.hasOwn(GRANT_FLAWS, flaw);
}

/** A valid grant with one flaw; unchanged if the flaw is in the request. */
export async function flawGrant(
  grant: string,
  flaw: GrantFlaw | undefined,
  { key, nowSeconds }: { readonly key: ThrowAwayKey; readonly nowSeconds: number },
): Promise<string> {
  const apply = flaw && APPLY[flaw];
  if (apply === undefined) return grant;
  return await signDraft(await apply(draftOf(grant, await toSigningKey(key)), nowSeconds));
}

/** The grant that the token names, and the value of the header. */
export interface SentPair {
  readonly named: string | undefined;
  readonly sent: string | undefined;
}

/**
 * Applies a flaw of the request to a grant.
 *
 * @param another another valid grant of the same user
 */
export async function sendPair(
  grant: string,
  flaw: GrantFlaw | undefined,
  another: () => Promise<string>,
): Promise<SentPair> {
  switch (flaw) {
    case 'no-grant':
      return { named: undefined, sent: undefined };
    case 'grant-without-claim':
      return { named: undefined, sent: grant };
    case 'claim-without-grant':
      return { named: grant, sent: undefined };
    case 'two-grants':
      return { named: grant, sent: `${grant}, ${grant}` };
    case 'swapped-grant':
      return { named: grant, sent: await another() };
    default:
      return { named: grant, sent: grant };
  }
}
