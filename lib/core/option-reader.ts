import { isAlgorithm, type Algorithm } from './algorithms.js';
import { describeUriFlaw, unknownOption } from './option-words.js';
import { TOKEN_HEADER } from './request.js';
import { isServiceUri } from './service-uri.js';

/** Collects what is wrong with the options, so that all of it is reported at once. */
export class ProblemList {
  readonly problems: string[] = [];

  add(field: string, whatToWrite: string): undefined {
    this.problems.push(`${field}: ${whatToWrite}`);
    return undefined;
  }
}

const HOW_TO_WRITE_URI = "write the service's absolute URI, such as 'https://census.service/'";
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * Reads one object of options that nobody has checked: own members only, unknown names reported,
 * every value read through a method that reports what it cannot accept and answers undefined.
 */
export class OptionReader {
  private readonly values: ReadonlyMap<string, unknown>;

  constructor(
    options: unknown,
    private readonly path: string,
    knownNames: readonly string[],
    private readonly problems: ProblemList,
  ) {
    const isRecord = typeof options === 'object' && options !== null && !Array.isArray(options);
    if (!isRecord) problems.add(path || 'options', 'write an object');
    this.values = isRecord ? this.readMembers(options) : new Map();
    for (const name of this.values.keys()) {
      if (knownNames.includes(name)) continue;
      problems.add(this.field(name), unknownOption(name, knownNames));
    }
  }

  private readMembers(options: object): Map<string, unknown> {
    const read = (name: string) => [name, this.readMember(options, name, name)] as const;
    return new Map(Object.keys(options).map(read));
  }

  /** What a getter throws is left out: it may quote a secret. */
  private readMember(owner: object, member: string, name: string): unknown {
    try {
      return Reflect.get(owner, member) as unknown;
    } catch {
      return this.report(name, 'it cannot be read; write a plain value');
    }
  }

  field(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  report(name: string, whatToWrite: string): undefined {
    return this.problems.add(this.field(name), whatToWrite);
  }

  raw(name: string): unknown {
    return this.values.get(name);
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
    if (found === undefined) this.report(name, `write ${words.map((w) => `'${w}'`).join(' or ')}`);
    return found ?? fallback;
  }

  flag(name: string): boolean {
    const value = this.raw(name) ?? false;
    if (typeof value === 'boolean') return value;
    this.report(name, 'write true or false');
    return false;
  }

  /** An object with this method; an absent one is undefined. */
  port<T extends object>(name: string, method: keyof T & string): T | undefined {
    const value = this.raw(name);
    return value === undefined ? undefined : this.portIn<T>(name, value, method);
  }

  /** A list of objects with this method; an absent list is empty. */
  ports<T extends object>(name: string, method: keyof T & string): readonly T[] {
    const value = this.raw(name);
    const list = Array.isArray(value) ? (value as unknown[]) : [];
    return list.flatMap((item, at) => this.portIn<T>(`${name}[${at}]`, item, method) ?? []);
  }

  integer(name: string, range: { from: number; to: number; fallback: number }): number {
    const value = this.raw(name) ?? range.fallback;
    if (
      typeof value === 'number' &&
      Number.isInteger(value) &&
      value >= range.from &&
      value <= range.to
    ) {
      return value;
    }
    this.report(name, `write a whole number from ${range.from} to ${range.to}`);
    return range.fallback;
  }

  /** A list, each item of which `read` takes; an absent list is undefined. */
  list<T>(name: string, read: (item: unknown, field: string) => T | undefined): T[] | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) return this.report(name, 'write a list');
    return (value as unknown[]).flatMap(
      (item, at) => read(item, `${this.field(name)}[${at}]`) ?? [],
    );
  }

  /** Written as a list, with nothing in it. */
  isEmptyList(name: string): boolean {
    const value = this.raw(name);
    return Array.isArray(value) && value.length === 0;
  }

  headerNames(name: string): readonly string[] {
    const names = this.list(name, (item, field) => {
      const header = typeof item === 'string' ? item.toLowerCase() : '';
      if (HEADER_NAME.test(header) && header !== TOKEN_HEADER) return header;
      return this.problems.add(
        field,
        'write the name of a header, other than the one of the token',
      );
    });
    return [...new Set(names ?? [])];
  }

  algorithms(name: string): readonly Algorithm[] | undefined {
    const algorithms = this.list(name, (item, field) =>
      isAlgorithm(item)
        ? item
        : this.problems.add(field, 'write an asymmetric algorithm, such as ES256'),
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
    return this.report(name, `${flaw}; ${HOW_TO_WRITE_URI}`);
  }
}
