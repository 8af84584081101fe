import { isServiceUri, parseUrl } from './service-uri.js';

const MOST_CHARACTERS = 80;
const SHORT_NAME = /^[^\s\p{C}'"]{1,80}$/u;
const PATH = /^[^\p{C}'"]{1,300}$/u;

/** The problem text for an option that does not exist. It suggests the option with the nearest spelling. */
export function unknownOption(name: string, knownNames: readonly string[]): string {
  const near = nearestName(name, knownNames);
  return near === undefined ? 'unknown option; remove it' : `unknown option; did you mean ${near}?`;
}

/** The known name that differs in one or two characters; undefined if there is none. */
export function nearestName(name: string, knownNames: readonly string[]): string | undefined {
  const most = name.length > 4 ? 2 : 1;
  if (name.length > MOST_CHARACTERS) return undefined;
  const near = knownNames
    .map((known) => ({ known, distance: editDistance(name.toLowerCase(), known.toLowerCase()) }))
    .filter(({ distance }) => distance <= most)
    .toSorted((one, other) => one.distance - other.distance);
  return near[0]?.known;
}

/** The number of characters to change, add or remove: Levenshtein's distance. */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let line = 0; line < one.length; line++) {
    const next = [line + 1];
    for (let at = 0; at < other.length; at++) {
      const replaced = (row[at] ?? 0) + (one[line] === other[at] ? 0 : 1);
      next.push(Math.min(replaced, (row[at + 1] ?? 0) + 1, (next[at] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

/** A value in quotes if it is short and cannot be a key or a password; otherwise its length. */
export function shown(text: string): string {
  const isShown = SHORT_NAME.test(text) && !looksSecret(text, /[\w+=-]{20,}/g);
  return isShown ? `'${text}'` : `a text of ${text.length} characters`;
}

/** The same for a path, which may be longer, and may contain spaces and names of temporary folders. */
export function shownPath(path: string): string {
  if (!/[/\\.]/.test(path)) return shown(path);
  const isShown = PATH.test(path) && !looksSecret(path, /[A-Za-z0-9+=]{24,}/g);
  return isShown ? `'${path}'` : `a text of ${path.length} characters`;
}

/** Base64 and hex have long runs in which letters and digits are mixed; the parts of names and paths have not. */
function looksSecret(text: string, longRuns: RegExp): boolean {
  if (text.includes('@') || text.includes('-----')) return true;
  const runs = text.split('/').flatMap((part) => part.match(longRuns) ?? []);
  return runs.some(
    (run) =>
      /[0-9a-fA-F]{20,}/.test(run) || [/[A-Z]/, /[a-z]/, /\d/].every((kind) => kind.test(run)),
  );
}

/** A description of a value by its kind alone, to print instead of the value. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'is not set (undefined)';
  if (value === null) return 'is null';
  if (typeof value === 'string') return value.trim() === '' ? 'is empty' : 'is a text';
  if (Array.isArray(value)) return 'is a list';
  return typeof value === 'object' ? 'is an object' : `is a ${typeof value}`;
}

/** Why a value cannot be the URI of a service. Names the right spelling if only the spelling is wrong. */
export function describeUriFlaw(value: unknown): string {
  if (value instanceof URL) return 'is a URL object and no text';
  if (typeof value !== 'string' || value.trim() === '') return kindOf(value);
  if (value.trim() !== value) return 'has white space around it';
  const url = parseUrl(value);
  if (!url) return `${shown(value)} is no absolute URI`;
  const { protocol, username, password, search, hash, href } = url;
  if (protocol !== 'http:' && protocol !== 'https:')
    return `${shown(value)} is no absolute http: or https: URI`;
  if (username !== '' || password !== '') return 'has credentials in it';
  if (search !== '' || hash !== '') return 'has a query or a fragment';
  if (href === value || !isServiceUri(href))
    return `${shown(value)} has a form that no service URI has`;
  return `${shown(value)} is sent in another spelling: write ${shown(href)}`;
}

/** The spelling in which clients send a URL, which the options must have. */
export function travellingSpelling(uri: string): string {
  const { href, pathname } = new URL(uri);
  const spelt = href.replaceAll(/%[0-9a-f]{2}/gi, (code) => code.toUpperCase());
  return pathname === '/' && !uri.endsWith('/') ? spelt.slice(0, -1) : spelt;
}
