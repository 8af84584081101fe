import { createServiceAuth, type ServiceAuthOptions } from 'nestjs-service-auth/core';
import { createKey } from '../../support/keys/keys.js';
import { problemsOf } from '../../support/observed/problems.js';
import {
  CENSUS,
  codeOf,
  HERALD,
  now,
  outgoing,
  received,
  USER,
} from '../../support/services/peers.js';

const key = createKey();
const EDGE = 'https://edge.service/';
const TRUST_DOMAIN = 'https://test.example.org/';
const USERS = 'https://census.service/user/';
const originator = { issuer: EDGE, publicKey: key.publicPem, subjects: [USERS] };
const issuer = { issuer: HERALD, publicKey: key.publicPem, subjectProof: { mode: 'off' } } as const;

type Options = Record<string, unknown>;

const GOOD = {
  issuer: CENSUS,
  audience: ['https://people.service/'],
  signingKey: { privateKey: key.privatePem },
  targets: [{ baseUrl: HERALD }],
  trustDomain: TRUST_DOMAIN,
  trustedIssuers: [issuer],
  originators: [originator],
  originate: { subjects: [USERS] },
} as const;

const withIssuer = (parts: Options): Options => ({ trustedIssuers: [{ ...issuer, ...parts }] });
const withOriginator = (parts: Options): Options => ({
  originators: [{ ...originator, ...parts }],
});
const withTarget = (parts: Options): Options => ({ targets: [{ baseUrl: HERALD, ...parts }] });
const withOriginate = (parts: Options): Options => ({ originate: { subjects: [USERS], ...parts } });

const PREFIX = "write a URI prefix that ends in '/', ':', '#', '?' or '='";

const OTHER_NAME =
  "is the name of a service; write another name than that of a service, such as 'https://prod.example.org/'";
const NAME = "write the name of this environment, such as 'https://prod.example.org/'";
const ASK = "write { mode: 'off' }, { mode: 'report' } or { mode: 'required', withoutSubject }";
const silent = { issuer: HERALD, publicKey: key.publicPem };

const PROBLEMS: [title: string, change: Options, problems: readonly unknown[]][] = [
  ...['', ' ', 'a b', 'caf\u00e9', 'a'.repeat(257), 7, null, ['a'], {}].map(
    (trustDomain): (typeof PROBLEMS)[number] => [
      `trustDomain ${JSON.stringify(trustDomain).slice(0, 20)}`,
      { trustDomain },
      [expect.stringContaining(`trustDomain: `)],
    ],
  ),
  ...[CENSUS, 'https://people.service/', HERALD, EDGE].map(
    (trustDomain): (typeof PROBLEMS)[number] => [
      `trustDomain that is ${trustDomain}`,
      { trustDomain },
      [`trustDomain: '${trustDomain}' ${OTHER_NAME}`],
    ],
  ),
  [
    'a trust domain that is the audience of a target',
    {
      ...withTarget({ audience: 'https://other.service/' }),
      trustDomain: 'https://other.service/',
    },
    [`trustDomain: 'https://other.service/' ${OTHER_NAME}`],
  ],
  [
    'originators without a trust domain',
    { trustDomain: undefined, originate: undefined },
    [`trustDomain: ${NAME}; originators needs it`],
  ],
  [
    'originate without a trust domain',
    { trustDomain: undefined, originators: undefined },
    [`trustDomain: ${NAME}; originate needs it`],
  ],
  [
    'no originators',
    { originators: [] },
    ['originators: name at least one service, or leave it out'],
  ],
  [
    'originators that are no list',
    { originators: originator },
    [expect.stringMatching(/^originators: /)],
  ],
  [
    'an originator that is a text',
    { originators: [EDGE] },
    expect.arrayContaining([expect.stringMatching(/^originators\[0\]: /)]) as never,
  ],
  [
    'an originator listed twice',
    { originators: [originator, originator] },
    ['originators[1].issuer: is listed twice; keep one'],
  ],
  [
    'an originator without a name',
    withOriginator({ issuer: undefined }),
    [expect.stringMatching(/^originators\[0\]\.issuer: /)],
  ],
  [
    'an originator that is no URI',
    withOriginator({ issuer: 'edge' }),
    [expect.stringMatching(/^originators\[0\]\.issuer: /)],
  ],
  [
    'an originator with an unknown option',
    withOriginator({ subjectProof: { mode: 'off' } }),
    [expect.stringMatching(/^originators\[0\]\.subjectProof: unknown option/)],
  ],
  [
    'an originator with a profile',
    withOriginator({ profile: 'strict' }),
    [expect.stringMatching(/^originators\[0\]\.profile: unknown option/)],
  ],
  ...[undefined, []].map((subjects): (typeof PROBLEMS)[number] => [
    `an originator of ${subjects ? 'nobody' : 'unnamed users'}`,
    withOriginator({ subjects }),
    [
      "originators[0].subjects: write the prefixes of the users it may vouch for, each ending in '/'",
    ],
  ]),
  [
    'an originator of a prefix that ends in the midst',
    withOriginator({ subjects: [USERS, 'https://census.service'] }),
    [`originators[0].subjects[1]: ${PREFIX}`],
  ],
  ...['', 'a b', 7, null].map((scope): (typeof PROBLEMS)[number] => [
    `an originator with the scope ${JSON.stringify(scope)}`,
    withOriginator({ scopes: ['digest:send', scope] }),
    ["originators[0].scopes[1]: write a scope without spaces, as 'digest:send'"],
  ]),
  [
    'an originator with a private key',
    withOriginator({ publicKey: key.privatePem }),
    [expect.stringMatching(/^originators\[0\]\.publicKey: /)],
  ],
  [
    'an originator with keys and a place of keys',
    withOriginator({ jwksUri: 'https://edge.service/jwks' }),
    [expect.stringMatching(/^originators\[0\]\.jwksUri: /)],
  ],
  ...[0, 604_801, 1.5, '60', -1].map((maxGrantLifetimeSeconds): (typeof PROBLEMS)[number] => [
    `maxGrantLifetimeSeconds ${maxGrantLifetimeSeconds}`,
    { maxGrantLifetimeSeconds },
    [expect.stringContaining(`maxGrantLifetimeSeconds: `)],
  ]),
  [
    'an issuer that says nothing, and may speak for everybody',
    { trustedIssuers: [silent] },
    [
      `trustedIssuers[0].subjectProof: ${ASK}: originators vouch for '${USERS}', for which it may speak`,
    ],
  ],
  [
    'an issuer that says nothing, and may speak for some of those users',
    { trustedIssuers: [{ ...silent, subjects: [`${USERS}vip/`] }] },
    [
      `trustedIssuers[0].subjectProof: ${ASK}: originators vouch for '${USERS}', for which it may speak`,
    ],
  ],
  [
    'an issuer that says nothing, and may speak for those users and others',
    { trustedIssuers: [{ ...silent, subjects: ['urn:x:', CENSUS] }] },
    [
      `trustedIssuers[0].subjectProof: ${ASK}: originators vouch for '${USERS}', for which it may speak`,
    ],
  ],
  [
    'a proof without a mode',
    withIssuer({ subjectProof: {} }),
    expect.arrayContaining([
      "trustedIssuers[0].subjectProof.mode: write 'off', 'report' or 'required'",
    ]) as never,
  ],
  [
    'a mode that is none',
    withIssuer({ subjectProof: { mode: 'on', withoutSubject: 'allowed' } }),
    [expect.stringMatching(/^trustedIssuers\[0\]\.subjectProof\.mode: /)],
  ],
  [
    'a proof that is a text',
    withIssuer({ subjectProof: 'required' }),
    expect.arrayContaining([
      expect.stringMatching(/^trustedIssuers\[0\]\.subjectProof: /),
    ]) as never,
  ],
  [
    'a proof with an unknown option',
    withIssuer({ subjectProof: { mode: 'off', maxAge: 5 } }),
    [expect.stringMatching(/^trustedIssuers\[0\]\.subjectProof\.maxAge: unknown option/)],
  ],
  [
    'required, and nothing of calls without a user',
    withIssuer({ subjectProof: { mode: 'required' } }),
    [
      "trustedIssuers[0].subjectProof.withoutSubject: write 'allowed' if the issuer may act for itself, else 'refused'",
    ],
  ],
  [
    'a wrong word for calls without a user',
    withIssuer({ subjectProof: { mode: 'required', withoutSubject: true } }),
    [expect.stringMatching(/^trustedIssuers\[0\]\.subjectProof\.withoutSubject: /)],
  ],
  [
    'off, and calls without a user refused',
    withIssuer({ subjectProof: { mode: 'off', withoutSubject: 'refused' } }),
    ["trustedIssuers[0].subjectProof.withoutSubject: remove it: mode 'off' asks for nothing"],
  ],
  ...[0, 604_801, 1.5, '60'].map((maxAgeSeconds): (typeof PROBLEMS)[number] => [
    `an age of ${maxAgeSeconds}`,
    withIssuer({ subjectProof: { mode: 'off', maxAgeSeconds } }),
    [expect.stringContaining('trustedIssuers[0].subjectProof.maxAgeSeconds: ')],
  ]),
  ...['report', 'required'].map((mode): (typeof PROBLEMS)[number] => [
    `${mode} in the original profile`,
    withIssuer({ profile: 'original', subjectProof: { mode, withoutSubject: 'allowed' } }),
    [
      "trustedIssuers[0].subjectProof: tokens in the original profile bind no request; write { mode: 'off' }, or profile: 'strict'",
    ],
  ]),
  ...['report', 'required'].map((mode): (typeof PROBLEMS)[number] => [
    `${mode} where nobody vouches`,
    {
      originators: undefined,
      ...withIssuer({ subjectProof: { mode, withoutSubject: 'allowed' } }),
    },
    ['trustedIssuers[0].subjectProof: name the `originators` of this service, or remove it'],
  ]),
  ...[undefined, []].map((subjects): (typeof PROBLEMS)[number] => [
    `originate of ${subjects ? 'nobody' : 'unnamed users'}`,
    withOriginate({ subjects }),
    ["originate.subjects: write the prefixes of the users it authenticates, each ending in '/'"],
  ]),
  [
    'originate of a prefix that ends in the midst',
    withOriginate({ subjects: ['https://census.service'] }),
    expect.arrayContaining([`originate.subjects[0]: ${PREFIX}`]) as never,
  ],
  [
    'originate with an unknown option',
    withOriginate({ scopes: [] }),
    [expect.stringMatching(/^originate\.scopes: unknown option/)],
  ],
  [
    'originate that is a text',
    { originate: USERS },
    expect.arrayContaining([expect.stringMatching(/^originate: /)]) as never,
  ],
  ...[0, 604_801, 1.5, '60'].map((lifetimeSeconds): (typeof PROBLEMS)[number] => [
    `originate for ${lifetimeSeconds} seconds`,
    withOriginate({ lifetimeSeconds }),
    expect.arrayContaining([expect.stringContaining('originate.lifetimeSeconds: ')]) as never,
  ]),
  ...[0, 604_801, 1.5, '60'].map((maxLifetimeSeconds): (typeof PROBLEMS)[number] => [
    `originate for at most ${maxLifetimeSeconds} seconds`,
    withOriginate({ maxLifetimeSeconds }),
    [expect.stringContaining('originate.maxLifetimeSeconds: ')],
  ]),
  [
    'originate for longer than at most',
    withOriginate({ lifetimeSeconds: 61, maxLifetimeSeconds: 60 }),
    ['originate.lifetimeSeconds: write at most maxLifetimeSeconds, which is 60'],
  ],
  [
    'originate without a key',
    { signingKey: undefined, targets: undefined },
    ['signingKey: set the private key that signs grants, or remove originate'],
  ],
  ...['all', true, null].map((grants): (typeof PROBLEMS)[number] => [
    `grants ${String(grants)} for a target`,
    withTarget({ grants }),
    [expect.stringMatching(/^targets\[0\]\.grants: /)],
  ]),
  ...['', 'a b', 7].map((trustDomain): (typeof PROBLEMS)[number] => [
    `the trust domain ${JSON.stringify(trustDomain)} of a target`,
    withTarget({ trustDomain }),
    [expect.stringMatching(/^targets\[0\]\.trustDomain: /)],
  ]),
  ...['send', 'required'].flatMap((grants): (typeof PROBLEMS)[number][] => [
    [
      `grants ${grants} for a target of another domain`,
      withTarget({ grants, trustDomain: 'https://partner.example/' }),
      ["targets[0].grants: write 'never': grants do not leave their trust domain"],
    ],
    [
      `grants ${grants} for a target of the original profile`,
      withTarget({ grants, profile: 'original' }),
      ["targets[0].grants: write 'never': a token in the original profile names no grant"],
    ],
    [
      `grants ${grants} in no trust domain`,
      {
        ...withTarget({ grants }),
        trustDomain: undefined,
        originators: undefined,
        originate: undefined,
      },
      ["targets[0].grants: set the trustDomain of this service, or write 'never'"],
    ],
  ]),
  ...['JWT', 'Txn-Token', 'txn-token'].flatMap((name): (typeof PROBLEMS)[number][] => [
    [
      `${name} among the headers that are signed`,
      { signedHeaders: [name] },
      [expect.stringMatching(/^signedHeaders/)],
    ],
    [
      `${name} among the headers that are required`,
      { requiredHeaders: [name] },
      [expect.stringMatching(/^requiredHeaders/)],
    ],
  ]),
];

const sorted = (problems: unknown): unknown =>
  Array.isArray(problems) ? (problems as string[]).toSorted() : problems;

describe('a mistake with grants is reported, and what to write', () => {
  it.each(PROBLEMS)('CF-01 %s', async (_title, change, problems) => {
    expect(await problemsOf(GOOD)).toEqual([]);
    expect(sorted(await problemsOf({ ...GOOD, ...change }))).toEqual(problems);
  });

  const FINE: [title: string, change: Options][] = [
    ['a trust domain of one character', { trustDomain: 'x' }],
    ['a trust domain of 256 characters', { trustDomain: 'x'.repeat(256) }],
    [
      'the same without originate and originators',
      { originate: undefined, originators: undefined, ...withIssuer({ subjectProof: undefined }) },
    ],
    ['off where nobody vouches', { originators: undefined }],
    ['a silent issuer of other users', { trustedIssuers: [{ ...silent, subjects: ['urn:x:'] }] }],
    [
      'a silent issuer of a sibling',
      { trustedIssuers: [{ ...silent, subjects: ['https://census.service/users/'] }] },
    ],
    ['a silent issuer of nobody', { trustedIssuers: [{ ...silent, subjects: [] }] }],
    ['off in the original profile', withIssuer({ profile: 'original' })],
    [
      'all that is required',
      withIssuer({
        subjectProof: { mode: 'required', withoutSubject: 'refused', maxAgeSeconds: 604_800 },
      }),
    ],
    ['a report', withIssuer({ subjectProof: { mode: 'report' } })],
    [
      'a report that refuses calls without a user',
      withIssuer({ subjectProof: { mode: 'report', withoutSubject: 'refused' } }),
    ],
    ['a week', { maxGrantLifetimeSeconds: 604_800 }],
    ['a second', { maxGrantLifetimeSeconds: 1 }],
    [
      'originate for a week',
      withOriginate({ lifetimeSeconds: 604_800, maxLifetimeSeconds: 604_800 }),
    ],
    ['originate for a second', withOriginate({ maxLifetimeSeconds: 1 })],
    ['an originator that may call', { originators: [{ issuer: HERALD, subjects: [USERS] }] }],
    [
      'an originator that publishes its keys',
      withOriginator({ publicKey: undefined, jwksUri: 'https://edge.service/jwks' }),
    ],
    ['an originator with a scope', withOriginator({ scopes: ['digest:send'] })],
    ['a target that gets grants', withTarget({ grants: 'send', trustDomain: TRUST_DOMAIN })],
    ['a target that needs grants', withTarget({ grants: 'required' })],
    ['a target of another domain', withTarget({ trustDomain: 'https://partner.example/' })],
    ['a target that gets none', withTarget({ grants: 'never' })],
  ];
  it.each(FINE)('CF-01 %s is none', async (_title, change) => {
    expect(await problemsOf({ ...GOOD, ...change })).toEqual([]);
  });
});

describe('defaults', () => {
  const settingsOf = async (change: Options) => {
    const service = await createServiceAuth({ ...GOOD, ...change } as ServiceAuthOptions);
    service.close();
    return service.settings;
  };

  it('are those of the documentation', async () => {
    const { receiving, sending } = await settingsOf({});
    expect(receiving?.grants).toMatchObject({
      trustDomain: TRUST_DOMAIN,
      maxLifetimeSeconds: 86_400,
    });
    expect(receiving?.grants?.originators.get(EDGE)).toMatchObject({
      subjects: [USERS],
      scopes: undefined,
    });
    expect(await receiving?.trustedIssuers.find(HERALD)).toMatchObject({
      subjectProof: { mode: 'off', withoutSubject: 'allowed', maxAgeSeconds: 300 },
    });
    expect(sending).toMatchObject({
      trustDomain: TRUST_DOMAIN,
      originate: { subjects: [USERS], lifetimeSeconds: 300, maxLifetimeSeconds: 86_400 },
      targets: [{ grants: 'send' }],
    });
    for (const part of [
      receiving?.grants,
      receiving?.grants?.originators.get(EDGE),
      sending?.originate,
    ]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  it.each([
    ['send', {}],
    ['send', withTarget({ trustDomain: TRUST_DOMAIN })],
    ['required', withTarget({ grants: 'required' })],
    ['never', withTarget({ grants: 'never' })],
    ['never', withTarget({ trustDomain: 'https://partner.example/' })],
    ['never', withTarget({ profile: 'original' })],
    [
      'never',
      { trustDomain: undefined, originate: undefined, originators: undefined, ...withIssuer({}) },
    ],
  ] as const)('a target gets grants: %s (%j)', async (grants, change) => {
    const { sending } = await settingsOf(change);
    expect(sending?.targets).toMatchObject([{ grants }]);
  });

  it('nothing is asked where nobody vouches', async () => {
    const { receiving, sending } = await settingsOf({
      trustDomain: undefined,
      originate: undefined,
      originators: undefined,
      trustedIssuers: [silent],
    });
    expect(receiving?.grants).toBeUndefined();
    expect(sending).toMatchObject({ trustDomain: undefined, originate: undefined });
    expect(await receiving?.trustedIssuers.find(HERALD)).toMatchObject({
      subjectProof: { mode: 'off', withoutSubject: 'allowed', maxAgeSeconds: 300 },
    });
  });

  it('the life of a grant is not longer by default than it may be', async () => {
    const { sending } = await settingsOf(withOriginate({ maxLifetimeSeconds: 60 }));
    expect(sending?.originate).toMatchObject({ lifetimeSeconds: 60, maxLifetimeSeconds: 60 });
  });

  it('an originator that is trusted takes the keys that it calls with, unless it has its own', async () => {
    const shared = await settingsOf({ originators: [{ issuer: HERALD, subjects: [USERS] }] });
    const trusted = await shared.receiving?.trustedIssuers.find(HERALD);
    expect(shared.receiving?.grants?.originators.get(HERALD)?.keys).toBe(trusted?.keys);
    const other = createKey();
    const own = await settingsOf({
      originators: [{ issuer: HERALD, publicKey: other.publicPem, subjects: [USERS] }],
    });
    const keys = own.receiving?.grants?.originators.get(HERALD)?.keys;
    expect(await keys?.find(other.keyId)).toMatchObject({ keyId: other.keyId });
    expect(await keys?.find(key.keyId)).toBeUndefined();
  });
});

describe('GR-38 an issuer found at run time', () => {
  const verdicts = async (found: Options): Promise<string[]> => {
    const census = await createServiceAuth({
      issuer: CENSUS,
      trustDomain: TRUST_DOMAIN,
      originators: [originator],
      trustedIssuers: { find: () => ({ issuer: HERALD, publicKey: key.publicPem, ...found }) },
      now,
    });
    const herald = await createServiceAuth({
      issuer: HERALD,
      signingKey: { privateKey: key.privateKey },
      targets: [{ baseUrl: CENSUS }],
      now,
    });
    const ask = async (subject: string | undefined): Promise<string> => {
      const request = outgoing({ subject });
      const token = (await herald.sign(request)) ?? '';
      return await codeOf(async () => await census.verify(received(request, token)));
    };
    const answers = [await ask(USER), await ask(undefined)];
    for (const service of [census, herald]) service.close();
    return answers;
  };

  it.each([
    ['that says nothing', {}, ['subject_not_allowed', 'accepted']],
    ['that says off', { subjectProof: { mode: 'off' } }, ['accepted', 'accepted']],
    [
      'that must prove it',
      { subjectProof: { mode: 'required', withoutSubject: 'allowed' } },
      ['grant_missing', 'accepted'],
    ],
    [
      'that must name a user',
      { subjectProof: { mode: 'required', withoutSubject: 'refused' } },
      ['grant_missing', 'subject_missing'],
    ],
    [
      'that says nothing, for other users',
      { subjects: ['urn:x:'] },
      ['subject_not_allowed', 'accepted'],
    ],
    [
      'that says what is not understood',
      { subjectProof: { mode: 'required' } },
      ['key_unavailable', 'key_unavailable'],
    ],
  ])('%s', async (_title, found, answers) => {
    expect(await verdicts(found)).toEqual(answers);
  });
});
