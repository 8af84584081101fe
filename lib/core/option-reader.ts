import { isAlgorithm, type Algorithm } from './algorithms.js';
import { ServiceAuthConfigError } from './errors.js';
import { describeUriFlaw, unknownOption } from './option-words.js';
import type { KeySourceOptions } from './options.js';
import { SIGNED_HEADERS } from './request.js';
import { isServiceUri } from './service-uri.js';

/** Collects the problems of the options, so that one error reports them all. */
export class ProblemList {
  /**
   * @param path the field whose members are read; empty for the options themselves
   * @param problems those found before, each as `field: what to write`
   */
  constructor(
    readonly path = '',
    readonly problems: string[] = [],
  ) {}

  /** The same list, for problems with the members of this field. */
  under(field: string): ProblemList {
    return new ProblemList(this.pathOf(field), this.problems);
  }

  /** Adds a problem of one member, or of the whole field if `name` is empty. */
  add(name: string, whatToWrite: string): undefined {
    this.problems.push(`${this.pathOf(name) || 'options'}: ${whatToWrite}`);
    return undefined;
  }

  /** Runs a part that reads its own options, and adds its problems to this list. Other errors are thrown on. */
  async attempt<T>(read: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof ServiceAuthConfigError)) throw error;
      const prefix = this.path === '' ? '' : `${this.path}.`;
      this.problems.push(...error.problems.map((problem) => prefix + problem));
      return undefined;
    }
  }

  /** @throws ServiceAuthConfigError with all problems, if there are any */
  assertNone(): void {
    if (this.problems.length > 0) throw new ServiceAuthConfigError(this.problems);
  }

  private pathOf(name: string): string {
    return this.path === '' || name === '' ? this.path + name : `${this.path}.${name}`;
  }
}

const HOW_TO_WRITE_URI = "write the service's absolute URI, such as 'https://census.service/'";
/**
 * A prefix must end at a boundary of the URI: `https://census.service` is also a prefix of
 * `https://census.service.evil/`.
 */
const SUBJECT_PREFIX = /^[A-Za-z][A-Za-z0-9+.-]*:(?:\S*[/:#?=])?$/;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** As `'a', 'b' or 'c'`. */
function inWords(words: readonly string[]): string {
  const quoted = words.map((word) => `'${word}'`);
  return quoted.join(', ').replace(/, (?=[^,]*$)/, ' or ');
}

/**
 * Reads one object of unchecked options. It reads own members only and reports unknown names. Each method reports a
 * value that it cannot accept, and returns undefined.
 */
export class OptionReader {
  private readonly values: ReadonlyMap<string, unknown>;

  /** @param problems receives the problems, under the path of these options */
  constructor(
    options: unknown,
    knownNames: readonly string[],
    readonly problems: ProblemList = new ProblemList(),
  ) {
    const isRecord = typeof options === 'object' && options !== null && !Array.isArray(options);
    if (!isRecord) problems.add('', 'write an object');
    this.values = isRecord ? this.readMembers(options) : new Map();
    for (const name of this.values.keys()) {
      if (!knownNames.includes(name)) this.report(name, unknownOption(name, knownNames));
    }
  }

  private readMembers(options: object): Map<string, unknown> {
    const read = (name: string) => [name, this.readMember(options, name, name)] as const;
    return new Map(Object.keys(options).map(read));
  }

  /** The report omits the error of a getter: it may quote a secret. */
  private readMember(owner: object, member: string, name: string): unknown {
    try {
      return Reflect.get(owner, member) as unknown;
    } catch {
      return this.report(name, 'it cannot be read; write a plain value');
    }
  }

  report(name: string, whatToWrite: string): undefined {
    return this.problems.add(name, whatToWrite);
  }

  raw(name: string): unknown {
    return this.values.get(name);
  }

  /** A value that `isGood` accepts; undefined if missing. */
  value<T>(
    name: string,
    isGood: (value: unknown) => value is T,
    whatToWrite: string,
  ): T | undefined {
    const value = this.raw(name);
    if (value === undefined || isGood(value)) return value;
    return this.report(name, whatToWrite);
  }

  /** A monotonic clock, in milliseconds; by default the clock of the process. */
  monotonicClock(name: string): () => number {
    const isClock = (value: unknown): value is () => number => typeof value === 'function';
    const clock = this.value(name, isClock, 'write a function that answers milliseconds');
    return clock ?? (() => performance.now());
  }

  /** An absolute http: or https: URI, byte for byte as written. */
  uri(name: string): string | undefined {
    return this.uriIn(name, this.raw(name));
  }

  uris(name: string): readonly string[] {
    const value = this.raw(name);
    const list = Array.isArray(value) ? (value as unknown[]) : value === undefined ? [] : [value];
    return list.flatMap(
      (item, at) => this.uriIn(Array.isArray(value) ? `${name}[${at}]` : name, item) ?? [],
    );
  }

  word<const T extends string>(name: string, words: readonly T[], fallback: T): T {
    const value = this.raw(name);
    if (value === undefined) return fallback;
    const found = words.find((word) => word === value);
    if (found === undefined) this.report(name, `write ${inWords(words)}`);
    return found ?? fallback;
  }

  flag(name: string): boolean {
    const value = this.raw(name) ?? false;
    if (typeof value === 'boolean') return value;
    this.report(name, 'write true or false');
    return false;
  }

  /** An object with this method; undefined if missing. */
  port<T extends object>(name: string, method: keyof T & string): T | undefined {
    const value = this.raw(name);
    return value === undefined ? undefined : this.portIn<T>(name, value, method);
  }

  /** A list of objects with this method; empty if missing. */
  ports<T extends object>(name: string, method: keyof T & string): readonly T[] {
    const value = this.raw(name);
    const list = Array.isArray(value) ? (value as unknown[]) : [];
    return list.flatMap((item, at) => this.portIn<T>(`${name}[${at}]`, item, method) ?? []);
  }

  /** A whole number, at least `from`, and at most `to` if given. */
  integer(name: string, range: { from: number; to?: number; fallback: number }): number {
    const value = this.raw(name) ?? range.fallback;
    const { from, to = Number.MAX_SAFE_INTEGER } = range;
    if (typeof value === 'number' && Number.isInteger(value) && value >= from && value <= to) {
      return value;
    }
    const end = range.to === undefined ? '' : ` to ${range.to}`;
    this.report(name, `write a whole number from ${from}${end}`);
    return range.fallback;
  }

  /** A list whose items `read` reads, each with its own problem list; undefined if missing. */
  list<T>(
    name: string,
    read: (item: unknown, problems: ProblemList) => T | undefined,
  ): T[] | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) return this.report(name, 'write a list');
    return (value as unknown[]).flatMap(
      (item, at) => read(item, this.problems.under(`${name}[${at}]`)) ?? [],
    );
  }

  /** Whether the value is a list without items. */
  isEmptyList(name: string): boolean {
    const value = this.raw(name);
    return Array.isArray(value) && value.length === 0;
  }

  headerNames(name: string): readonly string[] {
    const names = this.list(name, (item, problems) => {
      const header = typeof item === 'string' ? item.toLowerCase() : '';
      const isOurs = SIGNED_HEADERS.some((name) => name === header);
      if (HEADER_NAME.test(header) && !isOurs) return header;
      return problems.add('', 'write the name of a header, other than JWT and Txn-Token');
    });
    return [...new Set(names ?? [])];
  }

  /** URI prefixes of users; undefined if missing. */
  subjectPrefixes(name: string): readonly string[] | undefined {
    return this.list(name, (prefix, found) => {
      if (typeof prefix === 'string' && SUBJECT_PREFIX.test(prefix)) return prefix;
      return found.add('', "write a URI prefix that ends in '/', ':', '#', '?' or '='");
    });
  }

  /** The source of a service's keys. The code that reads keys checks the values. */
  keyOptions(): Omit<KeySourceOptions, 'issuer'> {
    return {
      publicKey: this.raw('publicKey') as KeySourceOptions['publicKey'],
      keys: this.raw('keys') as KeySourceOptions['keys'],
      jwksUri: this.raw('jwksUri') as KeySourceOptions['jwksUri'],
      algorithms: this.algorithms('algorithms'),
    };
  }

  algorithms(name: string): readonly Algorithm[] | undefined {
    const algorithms = this.list(name, (item, problems) =>
      isAlgorithm(item) ? item : problems.add('', 'write an asymmetric algorithm, such as ES256'),
    );
    if (this.isEmptyList(name)) this.report(name, 'name at least one algorithm, such as ES256');
    return algorithms?.length === 0 ? undefined : algorithms;
  }

  private portIn<T extends object>(name: string, value: unknown, method: string): T | undefined {
    const isObject = typeof value === 'object' && value !== null;
    const found = isObject ? this.readMember(value, method, name) : undefined;
    if (typeof found === 'function') return value as T;
    return this.report(name, `write an object with a method ${method}`);
  }

  private uriIn(name: string, value: unknown): string | undefined {
    const uri = typeof value === 'string' ? value : '';
    if (isServiceUri(uri)) return uri;
    const flaw = describeUriFlaw(value);
    // A spelling flaw already says what to write.
    return this.report(name, flaw.includes(': write ') ? flaw : `${flaw}; ${HOW_TO_WRITE_URI}`);
  }
}
