import type { SubjectProof } from './grants/grant-settings.js';
import type { KeySource } from './keys.js';
import type { CallTransport } from './messages/message.js';
import type { Profile } from './profiles.js';

/** A service that may call, and what it may do. */
export interface TrustedIssuer {
  readonly issuer: string;
  readonly profile: Profile;
  readonly keys: KeySource;
  /** URI prefixes of the users this issuer may speak for; undefined: for everybody. */
  readonly subjects: readonly string[] | undefined;
  /**
   * What is asked of it besides a good token. Undefined for an issuer found at run time that says nothing, while
   * somebody vouches for users whom it may speak for: its users are refused.
   */
  readonly subjectProof: SubjectProof | undefined;
  /** The ways in which it may call. */
  readonly transports: ReadonlySet<CallTransport>;
  /** What its messages sign: the JSON text of their data, or the bytes of the whole message. */
  readonly messageBodies: 'json' | 'raw';
}

/** Port: which issuers are trusted. An unknown one costs no fetch of keys and no signature work. */
export interface IssuerDirectory {
  /** @throws ServiceAuthUnavailableError `key_unavailable` when that cannot be decided now */
  find(issuer: string): TrustedIssuer | undefined | Promise<TrustedIssuer | undefined>;
  /** The configured issuer whose name is this one but for its spelling. Asked only once a request is refused. */
  nearest?(unverifiedIssuer: string): string | undefined;
  /** The issuers known at the moment. */
  known(): Iterable<TrustedIssuer>;
  /** Closes the key source of every issuer, and of those whose look-up is under way. */
  close(): void;
}

/** The issuers that the configuration lists. */
export function listedIssuers(issuers: ReadonlyMap<string, TrustedIssuer>): IssuerDirectory {
  // One look-up in place of a comparison with each: strangers decide how often.
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

/** What names have in common that people take for the same. */
function commonName(name: string): string {
  return name
    .toLowerCase()
    .replace(/^https?:\/\//, '')
    .replace(/^([^/]*?):\d+(?=\/|$)/, '$1')
    .replace(/\/$/, '');
}

/** In what two names differ that people take for the same; undefined where they are the same, or really differ. */
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
