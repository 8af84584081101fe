import { createServiceAuth, type ServiceAuthOptions } from 'nestjs-service-auth/core';
import { strictToken } from '../support/tokens/forge.js';
import { createKey } from '../support/keys/keys.js';
import {
  CENSUS,
  codeOf,
  HERALD,
  NOW_SECONDS,
  now,
  outgoing,
  received,
  signed,
} from '../support/services/peers.js';
import { fieldsOf, problemsOf } from '../support/observed/problems.js';

const key = createKey();
const URI = "write the service's absolute URI, such as 'https://census.service/'";

/** What was there, which is tested below, and what to write. */
const noUri = (field: string): string =>
  expect.stringMatching(
    new RegExp(`^${field.replaceAll(/[[\].]/g, '\\$&')}: .+(?:; ${URI}|: write '.+')$`),
  ) as string;

const issuer = { issuer: HERALD, publicKey: key.publicPem };
const target = { baseUrl: HERALD };
const GOOD: ServiceAuthOptions = {
  issuer: CENSUS,
  audience: ['https://people.service/'],
  signingKey: { privateKey: key.privatePem },
  trustedIssuers: [issuer],
  targets: [target],
};

type Options = Record<string, unknown>;
const withIssuer = (parts: Options): Options => ({ trustedIssuers: [{ ...issuer, ...parts }] });
const withTarget = (parts: Options): Options => ({ targets: [{ ...target, ...parts }] });

const NOT_URIS = [
  '',
  ' ',
  'census',
  'census.service',
  '//census.service/',
  'ftp://census.service/',
  'https://',
  'https:///x',
  'https:census.service',
  'https://census.service/ ',
  ' https://census.service/',
  'https://census.service/\n',
  'https://user:pass@census.service/',
  'https://:pass@census.service/',
  'https://user@census.service/',
  'https://census.service/?a=1',
  'https://census.service/#a',
  'https://*.service/',
  'https://census.service/*',
  'https://census.service:99999/',
  'https://census.service/"',
  'https://census.service/\u0000',
  'https://\u65e5\u672c.service/',
  'https://census.service/\u00e9/',
  5,
  null,
  {},
  /https:\/\/.*/,
  new URL('https://census.service/'),
  ['https://census.service/'],
  'https://*.service/',
  'https://census.service/*',
];

const show = (value: unknown): string =>
  value instanceof RegExp || value instanceof URL
    ? String(value)
    : (JSON.stringify(value) ?? String(value));

describe('CF-01, CF-02, AI-15: what is no URI is reported', () => {
  it.each(NOT_URIS.map((value) => [show(value), value]))('%s', async (_title, value) => {
    const problemsWith = async (change: Options) => await problemsOf({ ...GOOD, ...change });
    expect(await problemsWith({ issuer: value })).toContainEqual(noUri('issuer'));
    expect(await problemsWith(withIssuer({ issuer: value }))).toEqual([
      noUri('trustedIssuers[0].issuer'),
    ]);
    expect(await problemsWith(withTarget({ baseUrl: value }))).toContainEqual(
      noUri('targets[0].baseUrl'),
    );
    expect(await problemsWith(withTarget({ audience: value }))).toContainEqual(
      noUri('targets[0].audience'),
    );
    if (Array.isArray(value)) return;
    expect(await problemsWith({ audience: value })).toEqual([noUri('audience')]);
    expect(await problemsWith({ audience: [CENSUS, value] })).toEqual([noUri('audience[1]')]);
  });

  it.each([
    'https://census.service',
    'http://localhost:3000/',
    'https://a.b/c/d',
    'https://[::1]/',
  ])('%s is one', async (uri) => {
    expect(
      await problemsOf({
        ...GOOD,
        issuer: uri,
        audience: uri,
        ...withIssuer({ issuer: uri }),
        ...withTarget({ baseUrl: uri, audience: uri }),
      }),
    ).toEqual([]);
  });
});

const NO_SECONDS = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '60', {}, [], true];
const numbers = (field: string, more: readonly unknown[], id = ''): [string, Options, string][] =>
  [...NO_SECONDS, ...more].map((value) => [
    `${id}${field} ${typeof value === 'number' ? String(value) : show(value)}`,
    { [field]: value },
    field,
  ]);

const MISTAKES: [title: string, change: Options, field: string][] = [
  ...numbers('clockToleranceSeconds', [61, 601], 'CF-04 '),
  ...numbers('maxTokenLifetimeSeconds', [0, 3601, Number.NEGATIVE_INFINITY], 'CF-05 '),
  ...numbers('tokenLifetimeSeconds', [0, 301]),
  ...numbers('maxBufferedBodyBytes', [2 ** 31]),
  ['CF-01 no trusted issuers', { trustedIssuers: [] }, 'trustedIssuers'],
  ['CF-01 trusted issuers that are no list', { trustedIssuers: issuer }, 'trustedIssuers'],
  ['CF-01 an issuer that is a string', { trustedIssuers: [HERALD] }, 'trustedIssuers[0]'],
  [
    'CF-01 an issuer listed twice',
    { trustedIssuers: [issuer, issuer] },
    'trustedIssuers[1].issuer',
  ],
  [
    'CF-03 a symmetric algorithm',
    withIssuer({ algorithms: ['HS256'] }),
    'trustedIssuers[0].algorithms[0]',
  ],
  [
    'CF-03 one symmetric algorithm of two',
    withIssuer({ algorithms: ['ES256', 'HS256'] }),
    'trustedIssuers[0].algorithms[1]',
  ],
  ['CF-03 none', withIssuer({ algorithms: ['ES256', 'none'] }), 'trustedIssuers[0].algorithms[1]'],
  [
    'CF-03 an unknown algorithm',
    withIssuer({ algorithms: ['ES256', 'es256'] }),
    'trustedIssuers[0].algorithms[1]',
  ],
  [
    'CF-03 an inherited name',
    withIssuer({ algorithms: ['ES256', 'toString'] }),
    'trustedIssuers[0].algorithms[1]',
  ],
  [
    'CF-03 the name of an algorithm in a list of its own',
    withIssuer({ algorithms: ['ES256', ['ES256']] }),
    'trustedIssuers[0].algorithms[1]',
  ],
  ['CF-03 no algorithm', withIssuer({ algorithms: [] }), 'trustedIssuers[0].algorithms'],
  [
    'CF-03 algorithms that are no list',
    withIssuer({ algorithms: 'ES256' }),
    'trustedIssuers[0].algorithms',
  ],
  [
    'a profile that does not exist',
    withIssuer({ profile: 'lenient' }),
    'trustedIssuers[0].profile',
  ],
  ['a profile of null', withIssuer({ profile: null }), 'trustedIssuers[0].profile'],
  [
    'a subject prefix that ends anywhere',
    withIssuer({ subjects: ['https://census.service'] }),
    'trustedIssuers[0].subjects[0]',
  ],
  [
    'a subject prefix without a scheme',
    withIssuer({ subjects: ['/user/'] }),
    'trustedIssuers[0].subjects[0]',
  ],
  [
    'a subject prefix that is a pattern',
    withIssuer({ subjects: [/user/] }),
    'trustedIssuers[0].subjects[0]',
  ],
  [
    'a subject prefix that is empty',
    withIssuer({ subjects: [''] }),
    'trustedIssuers[0].subjects[0]',
  ],
  [
    'subjects that are no list',
    withIssuer({ subjects: 'https://census.service/' }),
    'trustedIssuers[0].subjects',
  ],
  ['a topic that is a service', { topics: [HERALD] }, 'topics'],
  ['a topic that is no URI', { topics: ['users'] }, 'topics[0]'],
  [
    'a lifetime of messages over a week',
    { messageLifetimeSeconds: 604_801 },
    'messageLifetimeSeconds',
  ],
  ['a lifetime of jobs of none', { jobLifetimeSeconds: 0 }, 'jobLifetimeSeconds'],
  [
    'a lifetime of accepted messages over a week',
    { maxMessageLifetimeSeconds: 604_801 },
    'maxMessageLifetimeSeconds',
  ],
  ['no transport', withIssuer({ transports: [] }), 'trustedIssuers[0].transports'],
  ['an unknown transport', withIssuer({ transports: ['ftp'] }), 'trustedIssuers[0].transports'],
  [
    'unknown bodies of messages',
    withIssuer({ messages: { bodies: 'xml' } }),
    'trustedIssuers[0].messages.bodies',
  ],
  ['targets and no signing key', { signingKey: undefined }, 'signingKey'],
  [
    'CF-12 no targets, where other URLs are called without a token',
    { targets: undefined, unknownTargets: 'send-unsigned' },
    'targets',
  ],
  ['a target that is a string', { targets: [HERALD] }, 'targets[0]'],
  ['a target of another profile', withTarget({ profile: 'Original' }), 'targets[0].profile'],
  [
    'a target listed twice',
    { targets: [target, { baseUrl: 'https://herald.service' }] },
    'targets',
  ],
  ['CF-12 another word for unknown targets', { unknownTargets: 'allow' }, 'unknownTargets'],
  ['CF-12 true for unknown targets', { unknownTargets: true }, 'unknownTargets'],
  ['CF-12 false for unknown targets', { unknownTargets: false }, 'unknownTargets'],
  [
    'CF-12 another word for calls without a user',
    { subjectOutsideRequest: 'allow' },
    'subjectOutsideRequest',
  ],
  ['a path prefix without a slash', { publicPathPrefix: 'census' }, 'publicPathPrefix'],
  ['a path prefix with a final slash', { publicPathPrefix: '/census/' }, 'publicPathPrefix'],
  ['a path prefix of a slash', { publicPathPrefix: '/' }, 'publicPathPrefix'],
  ['a path prefix with a query', { publicPathPrefix: '/census?' }, 'publicPathPrefix'],
  ['a path prefix that is no string', { publicPathPrefix: 5 }, 'publicPathPrefix'],
  ['a header name with a space', { signedHeaders: ['x order'] }, 'signedHeaders[0]'],
  ['a header name with a colon', { requiredHeaders: ['x-order:'] }, 'requiredHeaders[0]'],
  ['header names that are no list', { signedHeaders: 'x-order' }, 'signedHeaders'],
  [
    'the header that carries the token, to be signed',
    { signedHeaders: ['JWT'] },
    'signedHeaders[0]',
  ],
  [
    'the header that carries the token, to be bound',
    { requiredHeaders: ['jwt'] },
    'requiredHeaders[0]',
  ],
  ['a replay store of another kind', { replayStore: {} }, 'replayStore'],
  ['a replay store that is off', { replayStore: false }, 'replayStore'],
  ['a replay store of null', { replayStore: null }, 'replayStore'],
  ['a clock that is no function', { now: 1_800_000_000_000 }, 'now'],
  ['a clock of null', { now: null }, 'now'],
  ['a signing key of null', { signingKey: null }, 'signingKey'],
  ['a signing key that is a string', { signingKey: key.privatePem }, 'signingKey'],
  [
    'a key id of control characters',
    { signingKey: { privateKey: key.privatePem, keyId: 'a\n' } },
    'signingKey.keyId',
  ],
  [
    'a key id of 257 characters',
    { signingKey: { privateKey: key.privatePem, keyId: 'k'.repeat(257) } },
    'signingKey.keyId',
  ],
  [
    'an empty key id',
    withIssuer({ publicKey: undefined, keys: [{ publicKey: key.publicPem, keyId: '' }] }),
    'trustedIssuers[0].keys[0].keyId',
  ],
];

describe('a mistake is reported by the name of its field', () => {
  it.each(MISTAKES)('%s', async (_title, change, field) => {
    expect(await problemsOf(GOOD)).toEqual([]);
    const fields = await fieldsOf({ ...GOOD, ...change });
    expect(fields).toContain(field);
    // One mistake may have several consequences, all of them in the same option.
    const optionOf = (name: string): string => /^\w*/.exec(name)?.[0] ?? '';
    expect(new Set(fields.map(optionOf))).toEqual(new Set([optionOf(field)]));
  });

  it.each([
    ...[0, 5, 60].map((seconds) => ['CF-04 clockToleranceSeconds', seconds] as const),
    ...[1, 300, 3600].map((seconds) => ['CF-05 maxTokenLifetimeSeconds', seconds] as const),
  ])('%s of %i is none', async (title, seconds) => {
    const [, field = ''] = title.split(' ');
    expect(await problemsOf({ ...GOOD, [field]: seconds })).toEqual([]);
  });

  it.each([
    ['allowInsecureKeyUrls', 'yes'],
    ['requireKeysAtStart', 1],
    ['skipBody', true],
    ['allowUnsigned', true],
    ['ignoreExpiration', false],
    ['verify', false],
  ])('CF-12 %s: %j is no way to loosen anything', async (field, value) => {
    expect(await fieldsOf({ ...GOOD, [field]: value })).toEqual([field]);
  });

  it('and what is written with a mistake is not reported as left out', async () => {
    const fields = async (change: Options): Promise<string[]> =>
      await fieldsOf({ ...GOOD, ...change });
    expect(await fields(withTarget({ baseUrl: 'x' }))).toEqual(['targets[0].baseUrl']);
    expect(await fields(withIssuer({ algorithms: ['HS256'] }))).not.toContain(
      'trustedIssuers[0].algorithms',
    );
  });

  it.each([undefined, null, 'x', 5, [], () => GOOD])(
    'CF-09 options that are %p',
    async (options) => {
      expect(await fieldsOf(options)).toEqual(['issuer', 'options', 'trustedIssuers']);
    },
  );

  it('neither trusted issuers nor a signing key', async () => {
    expect(await fieldsOf({ issuer: CENSUS })).toEqual(['trustedIssuers']);
  });
});

describe('CF-08 names that do not exist', () => {
  it('are reported on every level, all of them', async () => {
    const problems = await problemsOf({
      ...GOOD,
      audiance: CENSUS,
      skipBody: true,
      signingKey: { privateKey: key.privatePem, algoritm: 'ES256', passphrase: 'x' },
      trustedIssuers: [
        { ...issuer, jwksUrl: 'https://herald.service/jwks.json', allowUnsigned: true },
        {
          issuer: 'https://scribe.service/',
          keys: [{ publicKey: key.publicPem, kid: 'x', use: 'sig' }],
        },
      ],
      targets: [{ ...target, timeout: 5 }],
    });
    expect(problems.toSorted()).toEqual(
      [
        'audiance: unknown option; did you mean audience?',
        'skipBody: unknown option; remove it',
        'signingKey.algoritm: unknown option; did you mean algorithm?',
        'signingKey.passphrase: unknown option; remove it',
        'targets[0].timeout: unknown option; remove it',
        'trustedIssuers[0].allowUnsigned: unknown option; remove it',
        'trustedIssuers[0].jwksUrl: unknown option; did you mean jwksUri?',
        'trustedIssuers[1].keys[0].kid: unknown option; remove it',
        'trustedIssuers[1].keys[0].use: unknown option; remove it',
      ].toSorted(),
    );
  });

  it.each(['__proto__', 'constructor', 'toString'])('even %s', async (name) => {
    const options: object = Object.defineProperty({ ...GOOD }, name, {
      value: {},
      enumerable: true,
    });
    expect(await fieldsOf(options)).toEqual([name]);
  });
});

it('every mistake is reported at once', async () => {
  const fields = await fieldsOf({
    issuer: 'census',
    audience: ['x', CENSUS, ''],
    signingKey: { privateKey: 'no key', keyId: 5, algorithm: 'HS256', extra: 1 },
    trustedIssuers: [
      { issuer: 'herald', publicKey: 'no key', algorithms: ['HS256', 'none'], profile: 'x' },
      { issuer: HERALD, keys: ['no key', { publicKey: 'no key' }], subjects: ['x', 5] },
    ],
    targets: [{ baseUrl: 'x', audience: 'y', profile: 'z' }, 5],
    unknownTargets: 'x',
    subjectOutsideRequest: 'x',
    tokenLifetimeSeconds: 0,
    maxTokenLifetimeSeconds: 0,
    clockToleranceSeconds: -1,
    publicPathPrefix: 'x',
    signedHeaders: [''],
    requiredHeaders: [5],
    maxBufferedBodyBytes: -1,
    replayStore: {},
    now: 5,
  });
  const expected = [
    'issuer',
    'audience[0]',
    'audience[2]',
    'signingKey.privateKey',
    'signingKey.keyId',
    'signingKey.extra',
    'trustedIssuers[0].issuer',
    'trustedIssuers[0].publicKey',
    'trustedIssuers[0].algorithms[0]',
    'trustedIssuers[0].algorithms[1]',
    'trustedIssuers[0].profile',
    'trustedIssuers[1].keys[0]',
    'trustedIssuers[1].keys[1]',
    'trustedIssuers[1].subjects[0]',
    'trustedIssuers[1].subjects[1]',
    'targets[0].baseUrl',
    'targets[0].audience',
    'targets[0].profile',
    'targets[1]',
    'unknownTargets',
    'subjectOutsideRequest',
    'tokenLifetimeSeconds',
    'maxTokenLifetimeSeconds',
    'clockToleranceSeconds',
    'publicPathPrefix',
    'signedHeaders[0]',
    'requiredHeaders[0]',
    'maxBufferedBodyBytes',
    'replayStore',
    'now',
  ];
  expect(expected.filter((field) => !fields.includes(field))).toEqual([]);
});

describe('CF-14 inherited members', () => {
  const inherit = <T extends object>(own: T, inherited: object): T =>
    Object.assign(Object.create(inherited) as object, own) as T;

  it('of the options play no part', async () => {
    const settings = { clockToleranceSeconds: 60, audience: 'https://evil.example/', unknown: 1 };
    const { receiving } = await createServiceAuth(inherit(GOOD, settings));
    expect(receiving.clockToleranceSeconds).toBe(5);
    expect([...receiving.audiences]).toEqual([CENSUS, 'https://people.service/']);
    expect(await fieldsOf(Object.create(GOOD))).toEqual(['issuer', 'trustedIssuers']);
  });

  it('of an issuer, a target, a key play no part', async () => {
    const inherited = {
      profile: 'original',
      algorithm: 'RS256',
      algorithms: ['RS256'],
      keyId: 'inherited',
      subjects: [],
    };
    const service = await createServiceAuth({
      ...GOOD,
      signingKey: inherit({ privateKey: key.privatePem }, inherited),
      targets: [inherit(target, inherited)],
      trustedIssuers: [
        inherit(
          { issuer: HERALD, keys: [inherit({ publicKey: key.publicPem }, inherited)] },
          inherited,
        ),
      ],
      now,
    });
    const trusted = await service.receiving.trustedIssuers.find(HERALD);
    expect(trusted).toMatchObject({ profile: 'strict', subjects: undefined });
    expect(await trusted?.keys.find(key.keyId)).toMatchObject({ keyId: key.keyId });
    expect(service.sending.targets).toMatchObject([{ profile: 'strict' }]);
    expect(service.sending.signingKeys.current()).toMatchObject({
      algorithm: 'ES256',
      keyId: key.keyId,
    });
  });
});

describe('defaults', () => {
  const expectDefaults = async (options: ServiceAuthOptions): Promise<void> => {
    const { receiving, sending } = await createServiceAuth(options);
    expect(receiving).toMatchObject({
      realm: CENSUS,
      clockToleranceSeconds: 5,
      maxTokenLifetimeSeconds: { strict: 300, original: 3600 },
      publicPathPrefix: '',
      requiredHeaders: [],
      maxBufferedBodyBytes: 1_048_576,
    });
    expect([...receiving.audiences]).toEqual([CENSUS]);
    expect(await receiving.trustedIssuers.find(HERALD)).toMatchObject({
      profile: 'strict',
      subjects: undefined,
    });
    expect(sending).toMatchObject({
      unknownTargets: 'refuse',
      subjectOutsideRequest: 'refuse',
      tokenLifetimeSeconds: 60,
      signedHeaders: [],
      maxBufferedBodyBytes: 1_048_576,
      targets: [{ audience: HERALD, profile: 'strict' }],
    });
  };

  it('are those of the documentation', async () => {
    await expectDefaults({ ...GOOD, audience: undefined });
    await expectDefaults({ ...GOOD, audience: [] });
  });

  it('are not erased by an explicit undefined', async () => {
    await expectDefaults({
      ...GOOD,
      audience: undefined,
      unknownTargets: undefined,
      subjectOutsideRequest: undefined,
      tokenLifetimeSeconds: undefined,
      maxTokenLifetimeSeconds: undefined,
      clockToleranceSeconds: undefined,
      publicPathPrefix: undefined,
      signedHeaders: undefined,
      requiredHeaders: undefined,
      maxBufferedBodyBytes: undefined,
      replayStore: undefined,
      now: undefined,
      signingKey: { privateKey: key.privatePem, algorithm: undefined, keyId: undefined },
      trustedIssuers: [
        {
          ...issuer,
          keys: undefined,
          algorithms: undefined,
          profile: undefined,
          subjects: undefined,
        },
      ],
      targets: [{ ...target, audience: undefined, profile: undefined }],
    });
  });

  it('are frozen once they are resolved', async () => {
    const { settings } = await createServiceAuth(GOOD);
    for (const part of [settings, settings.receiving, settings.sending]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });
});

describe('options at work', () => {
  const verdict = async (
    options: Partial<ServiceAuthOptions>,
    parts: Partial<Parameters<typeof strictToken>[0]> = {},
  ): Promise<string> => {
    const service = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [issuer],
      now,
      ...options,
    });
    const made = {
      key,
      issuer: HERALD,
      audience: CENSUS,
      target: '/a',
      now: NOW_SECONDS,
      ...parts,
    };
    const request = { method: 'GET', target: '/a', body: new Uint8Array() };
    const rawHeaders = ['JWT', strictToken(made)];
    return await codeOf(async () => await service.verify({ ...request, rawHeaders }));
  };

  it('CF-02 an empty list of further names leaves the own name alone', async () => {
    for (const audience of [undefined, []]) {
      expect(await verdict({ audience })).toBe('accepted');
      expect(await verdict({ audience }, { audience: HERALD })).toBe('audience_mismatch');
    }
  });

  it('an empty list of subjects lets an issuer speak for nobody', async () => {
    const options = { trustedIssuers: [{ ...issuer, subjects: [] }] };
    expect(await verdict(options, { subject: 'urn:user:1' })).toBe('subject_not_allowed');
    expect(await verdict(options)).toBe('accepted');
  });

  it('the longest life is that of the options', async () => {
    const claims = { exp: NOW_SECONDS + 31 };
    expect(await verdict({ maxTokenLifetimeSeconds: 30 }, { claims })).toBe('lifetime_too_long');
    expect(await verdict({ maxTokenLifetimeSeconds: 31 }, { claims })).toBe('accepted');
  });

  it('a tolerance of zero tolerates nothing', async () => {
    const claims = { iat: NOW_SECONDS + 1 };
    expect(await verdict({ clockToleranceSeconds: 0 }, { claims })).toBe('token_not_yet_valid');
    expect(await verdict({ clockToleranceSeconds: 0 })).toBe('accepted');
  });

  it('a path prefix is put back before the target is compared', async () => {
    const options = { publicPathPrefix: '/census' };
    expect(await verdict(options, { target: '/census/a' })).toBe('accepted');
    expect(await verdict(options)).toBe('request_mismatch');
    expect(await verdict({}, { target: '/census/a' })).toBe('request_mismatch');
  });

  it('CF-09 options that change afterwards change nothing', async () => {
    const options = { ...GOOD, audience: [CENSUS], trustedIssuers: [{ ...issuer }], now };
    const service = await createServiceAuth(options);
    options.audience.push(HERALD);
    options.trustedIssuers.push({ issuer: 'https://late.service/', publicKey: key.publicPem });
    expect([...service.receiving.audiences]).toEqual([CENSUS]);
    const known = [...service.receiving.trustedIssuers.known()];
    expect(known.map(({ issuer: name }) => name)).toEqual([HERALD]);
  });

  it('a service without targets signs messages, and no request', async () => {
    const withKey = { issuer: HERALD, signingKey: { privateKey: key.privatePem } };
    const service = await createServiceAuth(withKey);
    const message = { verb: 'EMIT', route: 'user.changed', text: '{}' } as const;
    const target = { audience: CENSUS, grants: 'never' } as const;
    expect(await service.signMessage(message, target)).toHaveProperty('token');
    await expect(service.sign(outgoing())).rejects.toMatchObject({ code: 'target_unknown' });
    expect(() => service.targetOf(CENSUS)).toThrow('target');

    const twin = await createServiceAuth({ ...withKey, targets: [{ baseUrl: CENSUS }] });
    expect(await twin.sign(outgoing())).toMatch(/^eyJ/);
  });

  it('a service without targets cannot let requests pass without a token', async () => {
    const options = { ...GOOD, unknownTargets: 'send-unsigned' } as const;
    expect(await problemsOf(options)).toEqual([]);
    expect(await problemsOf({ ...options, targets: [] })).toEqual([]);
    expect(await problemsOf({ ...options, targets: undefined })).toEqual([
      "targets: name the services to call: unknownTargets 'send-unsigned' needs them",
    ]);
    expect(await problemsOf({ ...GOOD, targets: undefined })).toEqual([]);
  });

  it('a service that only makes grants needs no target', async () => {
    const edge = await createServiceAuth({
      issuer: HERALD,
      signingKey: { privateKey: key.privatePem },
      trustDomain: 'https://prod.example.org/',
      originate: { subjects: [`${CENSUS}user/`] },
    });
    expect(await edge.issueGrant(`${CENSUS}user/21/`)).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    edge.close();
  });

  it('a service that only sends cannot verify, and says what to write', async () => {
    const { trustedIssuers: _, ...sendingOnly } = GOOD;
    const service = await createServiceAuth({
      ...sendingOnly,
      issuer: HERALD,
      targets: [{ baseUrl: CENSUS }],
    });
    const token = await signed(service, outgoing());
    await expect(service.verify(received(outgoing(), token))).rejects.toMatchObject({
      name: 'ServiceAuthUsageError',
      message: expect.stringContaining('trustedIssuers') as string,
    });
  });
});
