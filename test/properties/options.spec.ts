import fc from 'fast-check';
import {
  createServiceAuth,
  ServiceAuthConfigError,
  type ServiceAuthOptions,
} from 'nestjs-service-auth/core';
import type { ServiceAuthSettings } from '../../lib/core/settings.js';
import { createKey } from '../support/keys/keys.js';
import { CENSUS, HERALD } from '../support/services/peers.js';
import { itHolds } from '../support/properties/property.js';

const key = createKey('EdDSA');
const target = { baseUrl: HERALD };
const trusted = { issuer: HERALD, publicKey: key.publicKey };

/** What `originators` and `originate` need besides. */
const PROVING = {
  trustDomain: 'https://test.example.org/',
  trustedIssuers: [{ ...trusted, subjectProof: { mode: 'off' } }],
};
const EDGE = { issuer: 'https://edge.service/', publicKey: key.publicKey, subjects: [CENSUS] };

/** The least that a service of both halves must say. */
const REQUIRED = {
  issuer: CENSUS,
  signingKey: { privateKey: key.privateKey },
  targets: [target],
  trustedIssuers: [trusted],
};

interface Setting {
  readonly good: fc.Arbitrary<unknown>;
  readonly default: unknown;
  readonly read: (settings: ServiceAuthSettings) => unknown;
  /** What comes of a good value, where that is not the value. */
  readonly resolved?: (value: unknown) => unknown;
  /** Whether null says nothing, as undefined does. */
  readonly nullIsDefault?: boolean;
}

const integer = (
  range: { min: number; max: number },
  fallback: number,
  read: Setting['read'],
): Setting => ({ good: fc.integer(range), default: fallback, read, nullIsDefault: true });

const headers: Omit<Setting, 'read'> = {
  good: fc.array(fc.stringMatching(/^[a-z]{1,3}-[a-z]{1,3}$/), { maxLength: 3 }),
  default: [],
  resolved: (value) => [...new Set(value as string[])],
};

/** The options that are a value each, and where the settings keep it. */
const SETTINGS: Record<string, Setting> = {
  tokenLifetimeSeconds: integer({ min: 1, max: 300 }, 60, (s) => s.sending?.tokenLifetimeSeconds),
  clockToleranceSeconds: integer({ min: 0, max: 60 }, 5, (s) => s.receiving?.clockToleranceSeconds),
  maxTokenLifetimeSeconds: integer(
    { min: 1, max: 3600 },
    300,
    (s) => s.receiving?.maxTokenLifetimeSeconds.strict,
  ),
  maxBufferedBodyBytes: integer(
    { min: 0, max: 2 ** 30 },
    2 ** 20,
    (s) => s.receiving?.maxBufferedBodyBytes,
  ),
  requireKeysAtStart: {
    good: fc.boolean(),
    default: false,
    read: (s) => s.receiving?.requireKeysAtStart,
    nullIsDefault: true,
  },
  unknownTargets: {
    good: fc.constantFrom('refuse', 'send-unsigned'),
    default: 'refuse',
    read: (s) => s.sending?.unknownTargets,
  },
  subjectOutsideRequest: {
    good: fc.constantFrom('refuse', 'act-as-itself'),
    default: 'refuse',
    read: (s) => s.sending?.subjectOutsideRequest,
  },
  publicPathPrefix: {
    good: fc.stringMatching(/^(?:\/[a-z%0-9.-]{1,4}){0,2}$/),
    default: '',
    read: (s) => s.receiving?.publicPathPrefix,
    nullIsDefault: true,
  },
  trustDomain: {
    good: fc.stringMatching(/^[\x21-\x7e]{1,256}$/),
    default: undefined,
    read: (s) => s.sending?.trustDomain,
  },
  signedHeaders: { ...headers, read: (s) => s.sending?.signedHeaders },
  requiredHeaders: { ...headers, read: (s) => s.receiving?.requiredHeaders },
  audience: {
    good: fc.array(fc.constantFrom('https://a.service/', 'http://b.service/c'), { maxLength: 2 }),
    default: [],
    read: (s) => [...(s.receiving?.audiences ?? [])].slice(1),
    resolved: (value) => [...new Set(value as string[])],
  },
  publishedKeys: {
    good: fc.constantFrom('off', { path: '/keys', maxAgeSeconds: 60 }),
    default: { path: '/.well-known/jwks.json', maxAgeSeconds: 600 },
    read: (s) => s.sending?.publishedKeys,
    resolved: (value) => (value === 'off' ? undefined : value),
    nullIsDefault: true,
  },
};
const NAMES = Object.keys(SETTINGS);

/** What a getter throws, whatever it is: options may be proxies of somebody's. */
const thrown = fc.constantFrom<unknown>(new Error('canary'), 'canary', null, undefined);

/** A value that no option takes, or what JavaScript can hold besides. */
const garbage: fc.Arbitrary<unknown> = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true }),
  fc.constantFrom<unknown>(null, Number.NaN, -1, '', [], {}, () => 5, Symbol('x'), [null], /x/),
  fc.func(fc.anything()),
);

type Written =
  | { readonly kind: 'good'; readonly value: unknown }
  | { readonly kind: 'garbage'; readonly value: unknown }
  | { readonly kind: 'throws'; readonly value: unknown }
  | { readonly kind: 'inherited'; readonly value: unknown };

const entry = fc.constantFrom(...NAMES).chain((name) =>
  fc.record({
    name: fc.constant(name),
    written: fc.oneof<fc.MaybeWeightedArbitrary<Written>[]>(
      {
        weight: 6,
        arbitrary: (SETTINGS[name]?.good ?? garbage).map((value) => ({ kind: 'good', value })),
      },
      { weight: 2, arbitrary: garbage.map((value) => ({ kind: 'garbage', value })) },
      { weight: 1, arbitrary: thrown.map((value) => ({ kind: 'throws', value })) },
      { weight: 1, arbitrary: garbage.map((value) => ({ kind: 'inherited', value })) },
    ),
  }),
);
const entries = fc.uniqueArray(entry, { selector: ({ name }) => name, maxLength: 6 });
const strangers = fc.array(
  fc.oneof(fc.stringMatching(/^[a-zA-Z]{12,14}$/), fc.constantFrom('toString', 'issuers')),
  { maxLength: 1 },
);

function write(written: readonly { name: string; written: Written }[]): ServiceAuthOptions {
  const inherited: object = {};
  const options = Object.assign(Object.create(inherited) as object, REQUIRED);
  for (const { name, written: each } of written) {
    const { kind, value } = each;
    const get = (): never => {
      throw value;
    };
    const descriptor = kind === 'throws' ? { get } : { value };
    const holder = kind === 'inherited' ? inherited : options;
    Object.defineProperty(holder, name, { ...descriptor, enumerable: true });
  }
  return options as ServiceAuthOptions;
}

/** The settings, or the problems. Whatever else comes of options is an error of the library. */
async function resolve(
  options: ServiceAuthOptions,
): Promise<ServiceAuthSettings | readonly string[]> {
  try {
    const service = await createServiceAuth(options);
    service.close();
    return service.settings;
  } catch (error) {
    if (error instanceof ServiceAuthConfigError) return error.problems;
    throw error;
  }
}

const isList = (found: ServiceAuthSettings | readonly string[]): found is readonly string[] =>
  Array.isArray(found);
const optionOf = (problem: string): string => /^\w*/.exec(problem)?.[0] ?? '';

describe('options, whatever is written', () => {
  itHolds(
    'CF-01 become settings of what was written, or problems by the name of each',
    [entries, strangers],
    async (written, unknown) => {
      const options = write(written);
      for (const name of unknown) Object.assign(options, { [name]: 5 });
      const found = await resolve(options);
      const mistaken = written.filter(({ written: { kind } }) => kind === 'throws');
      const suspects = new Set([
        ...written.filter(({ written: w }) => w.kind === 'garbage').map(({ name }) => name),
        ...mistaken.map(({ name }) => name),
        ...unknown,
      ]);
      if (isList(found)) {
        const reported = new Set(found.map(optionOf));
        expect([...reported].filter((name) => !suspects.has(name))).toEqual([]);
        for (const name of [...mistaken.map((each) => each.name), ...unknown]) {
          expect(reported).toContain(name);
        }
        for (const problem of found) expect(problem).toMatch(/^.+?: \S/s);
        return;
      }
      expect([mistaken, unknown]).toEqual([[], []]);
      for (const name of NAMES) expectSetting(name, found, written);
    },
  );

  const anywhere = fc.constantFrom(
    (value: unknown) => ({ signingKey: value }),
    (value: unknown) => ({ signingKey: { privateKey: value } }),
    (value: unknown) => ({ signingKey: { privateKey: key.privateKey, keyId: value } }),
    (value: unknown) => ({ signingKey: { current: value, next: value } }),
    (value: unknown) => ({ targets: value }),
    (value: unknown) => ({ targets: [value] }),
    (value: unknown) => ({ targets: [{ ...target, audience: value }] }),
    (value: unknown) => ({ trustedIssuers: [value] }),
    (value: unknown) => ({ trustedIssuers: [{ ...trusted, publicKey: value ?? 5 }] }),
    (value: unknown) => ({ trustedIssuers: [{ issuer: HERALD, keys: [value] }] }),
    (value: unknown) => ({
      trustedIssuers: [{ issuer: HERALD, keys: [{ publicKey: value }] }],
    }),
    (value: unknown) => ({ trustedIssuers: [{ ...trusted, subjects: value }] }),
    (value: unknown) => ({ trustedIssuers: [{ ...trusted, algorithms: [value] }] }),
    (value: unknown) => ({ trustedIssuers: [{ ...trusted, subjectProof: value }] }),
    (value: unknown) => ({ trustedIssuers: [{ ...trusted, subjectProof: { mode: value } }] }),
    (value: unknown) => ({ targets: [{ ...target, grants: value }] }),
    (value: unknown) => ({ targets: [{ ...target, trustDomain: value }] }),
    (value: unknown) => ({ trustDomain: value }),
    (value: unknown) => ({ maxGrantLifetimeSeconds: value }),
    (value: unknown) => ({ originators: value, ...PROVING }),
    (value: unknown) => ({ originators: [value], ...PROVING }),
    (value: unknown) => ({ originators: [{ ...EDGE, subjects: value }], ...PROVING }),
    (value: unknown) => ({ originators: [{ ...EDGE, scopes: value }], ...PROVING }),
    (value: unknown) => ({ originators: [{ ...EDGE, publicKey: value ?? 5 }], ...PROVING }),
    (value: unknown) => ({ originate: value, ...PROVING }),
    (value: unknown) => ({ originate: { subjects: [CENSUS], lifetimeSeconds: value }, ...PROVING }),
    (value: unknown) => ({ replayStore: value }),
    (value: unknown) => ({ observer: value }),
    (value: unknown) => ({ publishedKeys: value }),
    (value: unknown) => ({ now: value }),
    (value: unknown) => ({ issuer: value }),
  );
  const traps = fc
    .tuple(garbage, fc.constantFrom(...trapsOf()))
    .map(([value, trap]) => trap(value));

  itHolds(
    'CF-02, CF-14 never fail in another way, however deep the garbage lies',
    [anywhere, fc.oneof({ weight: 2, arbitrary: garbage }, { weight: 1, arbitrary: traps })],
    async (place, value) => {
      const written = place(value);
      const found = await resolve({ ...REQUIRED, ...written } as ServiceAuthOptions);
      if (!isList(found)) return;
      expect(found.length).toBeGreaterThan(0);
      const [name = ''] = Object.keys(written);
      expect(new Set(found.map(optionOf))).toEqual(new Set([name]));
    },
  );
});

function expectSetting(
  name: string,
  settings: ServiceAuthSettings,
  written: readonly { name: string; written: Written }[],
): void {
  const setting = SETTINGS[name];
  const own = written.find((each) => each.name === name)?.written;
  const value = own?.kind === 'inherited' ? undefined : own?.value;
  const isDefault = value === undefined || (value === null && setting?.nullIsDefault === true);
  const got = setting?.read(settings);
  if (isDefault) expect(got).toEqual(setting?.default);
  else if (own?.kind === 'good')
    expect(got).toEqual(setting?.resolved?.(value) ?? (value === 'off' ? undefined : value));
}

/** Objects with a member that cannot be read. */
function trapsOf(): ((value: unknown) => unknown)[] {
  const fail = (): never => {
    throw new Error('canary');
  };
  const getter = (name: string) => () =>
    Object.defineProperty({}, name, { get: fail, enumerable: true });
  const names = ['issuer', 'publicKey', 'privateKey', 'current', 'kty', 'baseUrl', 'find'];
  return [...names, 'recordUse', 'observe'].map(getter);
}
