import type { SubjectProof } from './grants/grant-settings.js';
import type { KeySource } from './keys.js';
import type { CallTransport } from './messages/message.js';
import type { Profile } from './profiles.js';

/** A service that may call, and what it may do. */
export interface TrustedIssuer {
  readonly issuer: string;
  readonly profile: Profile;
  readonly keys: KeySource;
  /** URI prefixes of the users this issuer may speak for; undefined: all users. */
  readonly subjects: readonly string[] | undefined;
  /**
   * The proof that the issuer needs besides a valid token. Undefined for an issuer found at run time without
   * `subjectProof`, if an originator vouches for users whom it may speak for. Then calls for users are refused.
   */
  readonly subjectProof: SubjectProof | undefined;
  /** The ways in which it may call. */
  readonly transports: ReadonlySet<CallTransport>;
  /** What its messages sign: the JSON text of their data, or the bytes of the whole message. */
  readonly messageBodies: 'json' | 'raw';
}

/** Port: finds trusted issuers. An unknown issuer costs neither a fetch of keys nor a signature check. */
export interface IssuerDirectory {
  /** @throws ServiceAuthUnavailableError `key_unavailable` if the answer is not known now */
  find(issuer: string): TrustedIssuer | undefined | Promise<TrustedIssuer | undefined>;
  /** The configured issuer whose name differs only in spelling. Called only after a refusal. */
  nearest?(unverifiedIssuer: string): string | undefined;
  /** The issuers known at the moment. */
  known(): Iterable<TrustedIssuer>;
  /** Closes the key source of every issuer, including those still being looked up. */
  close(): void;
}

/** The issuers that the configuration lists. */
export function listedIssuers(issuers: ReadonlyMap<string, TrustedIssuer>): IssuerDirectory {
  // One look-up instead of a comparison with each name: strangers decide how often it runs.
  const byCommonName = new Map([...issuers.keys()].map((issuer) => [commonName(issuer), issuer]));
  return {
    find: (issuer) => issuers.get(issuer),
    nearest: (issuer) =>
      issuer.length > MOST_CHARACTERS ? undefined : byCommonName.get(commonName(issuer)),
    known: () => issuers.values(),
    close: () => {
      for (const { keys } of issuers.values()) keys.close();
    },
  };
}

const MOST_CHARACTERS = 1024;

/** The part of a name that people do not misspell: equal for names that they confuse. */
function commonName(name: string): string {
  return name
    .toLowerCase()
    .replace(/^https?:\/\//, '')
    .replace(/^([^/]*?):\d+(?=\/|$)/, '$1')
    .replace(/\/$/, '');
}

/** The difference between two names that people confuse; undefined if the names are equal, or really differ. */
export function nameDifference(one: string, other: string): string | undefined {
  if (one === other || commonName(one) !== commonName(other)) return undefined;
  const [found] = SPELLINGS.filter(([, spell]) => spell(one) === spell(other));
  return found?.[0] ?? 'its spelling';
}

const SPELLINGS: readonly [what: string, spell: (name: string) => string][] = [
  ['its final slash', (name) => name.replace(/\/$/, '')],
  ['upper and lower case', (name) => name.toLowerCase()],
  ['its scheme', (name) => name.replace(/^https?:/, '')],
  ['its port', (name) => name.replace(/^(https?:\/\/[^/]*?):\d+/, '$1')],
];
