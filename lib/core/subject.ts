const MAX_SUBJECT_LENGTH = 1024;

/** Control, format (bidi and zero-width) and separator characters: they forge logs and headers. */
const UNSAFE_CHARACTER = /[\p{Cc}\p{Cf}\p{Z}\p{Cs}]/u;
const ABSOLUTE_URI = /^[A-Za-z][A-Za-z0-9+.-]*:./u;
const WEB_URI = /^https?:/i;
const USERINFO = /^[^:]+:\/\/[^/?#]*@/;

/** A subject without any of these has no dot segment, in any decoding. */
const MAYBE_DOTS = /[/\\]\.|[%\\]|[^\x21-\x7e]/;
const ESCAPES = /(?:%[0-9a-f]{2})+/gi;
/** Invalid escapes that lax decoders read as a dot or a slash: overlong forms, `%u002e`. */
const LAX_ESCAPE = /%(?:c[01]|e0%[89]|f0%8|u[0-9a-f]{4})/i;
/** No software escapes an escape more often. */
const MOST_DECODINGS = 3;
/** Characters that Unicode compatibility forms leave, but best-fit tables turn into dots and slashes. */
const OTHER_DOTS = /[\u3002]/g;
const OTHER_SLASHES = /[\\\u2044\u2215\u2216\u29f5\u29f8\u29f9]/g;
const INVISIBLE = /[\p{C}\p{Z}]/gu;

/** Schemes that run code or read local data if an application follows the URI. */
const REFUSED_SCHEME = /^(?:javascript|vbscript|data|blob|file|about|filesystem|view-source):/i;

/**
 * Why a string cannot be the URI of a user; undefined if it can. A subject is an absolute URI of at most 1024
 * characters, without control characters and credentials. It is never normalised.
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
 * Whether a subject begins with one of the URI prefixes and has no dot segment. `/user/../admin/` begins with
 * `/user/`, but names something else once software resolves it. The same goes for texts that become dot segments:
 * with path parameters (`..;x`), escaped once or several times, in other letters of Unicode.
 */
export function isWithinPrefixes(subject: string, prefixes: readonly string[]): boolean {
  return !mayHaveDotSegment(subject) && prefixes.some((prefix) => subject.startsWith(prefix));
}

function mayHaveDotSegment(subject: string): boolean {
  if (!MAYBE_DOTS.test(subject)) return false;
  let text = subject;
  for (let decodings = 0; decodings <= MOST_DECODINGS; decodings++) {
    if (LAX_ESCAPE.test(text) || hasDotSegment(text)) return true;
    const decoded = text.replace(ESCAPES, decode);
    if (decoded === text) return false;
    text = decoded;
  }
  return true;
}

/** Unlike `decodeURIComponent`, also decodes the valid UTF-8 of a partly invalid text. */
function decode(escapes: string): string {
  return Buffer.from(escapes.replaceAll('%', ''), 'hex').toString('utf8');
}

function hasDotSegment(text: string): boolean {
  const plain = text.normalize('NFKC').replace(OTHER_DOTS, '.').replace(OTHER_SLASHES, '/');
  const [, ...segments] = plain.split('/');
  return segments.some((segment) => {
    const [name = ''] = segment.split(/[;?#]/);
    return /^\.+$/.test(name.replace(INVISIBLE, ''));
  });
}
