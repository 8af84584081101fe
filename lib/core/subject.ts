const MAX_SUBJECT_LENGTH = 1024;

/** Control, format (bidi and zero-width) and separator characters: they forge logs and headers. */
const UNSAFE_CHARACTER = /[\p{Cc}\p{Cf}\p{Z}\p{Cs}]/u;
const ABSOLUTE_URI = /^[A-Za-z][A-Za-z0-9+.-]*:./u;
const WEB_URI = /^https?:/i;
const USERINFO = /^[^:]+:\/\/[^/?#]*@/;
const DOT_SEGMENT = /(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?=$|[/\\?#]|%2f|%5c)/i;

/** Schemes that run code or read local data wherever an application follows the URI. */
const REFUSED_SCHEME = /^(?:javascript|vbscript|data|blob|file|about|filesystem|view-source):/i;

/**
 * Why a string cannot be the URI of a user, or undefined when it can: an absolute URI of at most
 * 1024 characters, no control characters, no credentials. Never normalised.
 *
 * @see RFC 3986 section 4.3
 */
export function findSubjectFlaw(subject: string): string | undefined {
  if (subject.length > MAX_SUBJECT_LENGTH) return `longer than ${MAX_SUBJECT_LENGTH} characters`;
  if (UNSAFE_CHARACTER.test(subject)) return 'with a control or space character';
  if (!ABSOLUTE_URI.test(subject)) return 'not an absolute URI';
  if (REFUSED_SCHEME.test(subject)) return 'with a scheme that is refused';
  if (USERINFO.test(subject)) return 'with credentials';
  if (WEB_URI.test(subject) && !/^https?:\/\/[^/]/i.test(subject)) return 'not an absolute URI';
  if (WEB_URI.test(subject) && !URL.canParse(subject)) return 'not an absolute URI';
  return undefined;
}

/**
 * Whether a subject lies under one of the URI prefixes. Dot segments never do: `/user/../admin/`
 * begins with `/user/` byte for byte and still names something else once somebody resolves it.
 */
export function isWithinPrefixes(subject: string, prefixes: readonly string[]): boolean {
  return !DOT_SEGMENT.test(subject) && prefixes.some((prefix) => subject.startsWith(prefix));
}
