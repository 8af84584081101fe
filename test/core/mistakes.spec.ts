import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServiceAuth, ServiceAuthConfigError } from 'nestjs-service-auth/core';
import { createKey } from '../support/keys/keys.js';
import { problemsOf } from '../support/observed/problems.js';

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const key = createKey();
const URI = "write the service's absolute URI, such as 'https://census.service/'";
const KEY = 'write one unencrypted private key as PKCS#8 PEM, JWK, KeyObject or CryptoKey';
const folder = mkdtempSync(join(tmpdir(), 'mistakes-'));
afterAll(() => rmSync(folder, { recursive: true }));

const GOOD = {
  issuer: CENSUS,
  signingKey: { privateKey: key.privatePem },
  trustedIssuers: [{ issuer: HERALD, publicKey: key.publicPem }],
  targets: [{ baseUrl: HERALD }],
};
const publicFile = join(folder, 'herald.pem');
writeFileSync(publicFile, key.publicPem);

const issuer = (value: unknown) => ({ issuer: value });
const baseUrl = (value: string) => ({ targets: [{ baseUrl: value }] });
const trust = (value: object) => ({ trustedIssuers: [value] });
const spelt = (written: string, spelling: string) =>
  `targets[0].baseUrl: '${written}' is sent in another spelling: write '${spelling}'`;

const MISTAKES: [title: string, change: object, problem: string][] = [
  ['an issuer that is a name', issuer('census'), `issuer: 'census' is no absolute URI; ${URI}`],
  ['an issuer that is not set', issuer(undefined), `issuer: is not set (undefined); ${URI}`],
  ['an empty issuer', issuer(''), `issuer: is empty; ${URI}`],
  [
    'an issuer with a line break',
    issuer(`${CENSUS}\n`),
    `issuer: has white space around it; ${URI}`,
  ],
  [
    'an issuer with a password',
    issuer('https://a:canary@b/'),
    `issuer: has credentials in it; ${URI}`,
  ],
  [
    'an issuer with a query',
    issuer(`${CENSUS}?k=canary`),
    `issuer: has a query or a fragment; ${URI}`,
  ],
  [
    'an issuer that is a key',
    issuer('MIGHAgEAMBMGByqGSM49AgEGCCqGSM49canary'),
    `issuer: a text of 38 characters is no absolute URI; ${URI}`,
  ],
  [
    'an issuer in capitals',
    issuer('HTTPS://census.service/'),
    `issuer: 'HTTPS://census.service/' is sent in another spelling: write '${CENSUS}'`,
  ],
  [
    'keys over plain http of a host nobody wrote',
    trust({ issuer: 'http://herald:3000/' }),
    "trustedIssuers[0].jwksUri: 'http://herald:3000/.well-known/jwks.json' (derived from issuer) is plain http: to another host; write an https: URL as jwksUri, or set allowInsecureKeyUrls: true beside trustedIssuers (in a private network only)",
  ],
  [
    'keys over plain http',
    trust({ issuer: HERALD, jwksUri: 'http://herald:3000/keys' }),
    "trustedIssuers[0].jwksUri: 'http://herald:3000/keys' is plain http: to another host; write an https: URL as jwksUri, or set allowInsecureKeyUrls: true beside trustedIssuers (in a private network only)",
  ],
  [
    'keys at an empty URL',
    trust({ issuer: HERALD, jwksUri: '' }),
    'trustedIssuers[0].jwksUri: is empty; write an https: URL without credentials',
  ],
  [
    'a key file that is missing',
    { signingKey: { keyFile: '/run/secrets/herald.pem' } },
    "signingKey.keyFile: '/run/secrets/herald.pem' cannot be read (ENOENT)",
  ],
  [
    'a key file with a public key',
    { signingKey: { keyFile: publicFile } },
    `signingKey.keyFile: '${publicFile}' is a public key; ${KEY}`,
  ],
  [
    'a key where its file belongs',
    { signingKey: { keyFile: key.privatePem } },
    'signingKey.keyFile: is a key and no path; write { privateKey }',
  ],
  [
    'a path where options belong',
    { signingKey: 'h.pem' },
    "signingKey: is a text; write { keyFile: '<path>' }, { privateKey }, or { current, next, previous }",
  ],
  [
    'an option that is spelt otherwise',
    { tokenLifetimeSecond: 60 },
    'tokenLifetimeSecond: unknown option; did you mean tokenLifetimeSeconds?',
  ],
  [
    'an option of a key file that is spelt otherwise',
    { signingKey: { keyFile: 'x.pem', algoritm: 'ES256' } },
    'signingKey.algoritm: unknown option; did you mean algorithm?',
  ],
  [
    'an option that is like no other',
    { passphrase: 'canary' },
    'passphrase: unknown option; remove it',
  ],
  [
    'a base URL in capitals',
    baseUrl('HTTPS://Herald.service/'),
    spelt('HTTPS://Herald.service/', HERALD),
  ],
  [
    'a base URL whose host is in capitals',
    baseUrl('https://Herald.service/'),
    `${spelt('https://Herald.service/', HERALD)}, or set audience`,
  ],
  [
    'a base URL with the usual port',
    baseUrl('https://herald.service:443/'),
    `${spelt('https://herald.service:443/', HERALD)}, or set audience`,
  ],
  [
    'a base URL of another script',
    baseUrl('https://bücher.service/'),
    spelt('https://bücher.service/', 'https://xn--bcher-kva.service/'),
  ],
  [
    'a base URL whose path is encoded in small letters',
    baseUrl('https://herald.service/caf%c3%a9/'),
    `${spelt('https://herald.service/caf%c3%a9/', 'https://herald.service/caf%C3%A9/')}, or set audience`,
  ],
];

it.each(MISTAKES)('%s', async (_title, change, problem) => {
  const problems = await problemsOf({ ...GOOD, ...change });
  expect(problems).toEqual([problem]);
  expect(problems.join()).not.toMatch(/canary|PRIVATE/);
});

describe.each([
  ['an ES256 key', key],
  ['an RS256 key', createKey('RS256')],
])('no problem quotes %s that is written in the wrong place', (_title, { privatePem }) => {
  const base64 = privatePem.replaceAll(/-----[A-Z ]+-----/g, '').trim();
  const forms: [form: string, text: string][] = [
    ['a PEM', privatePem],
    ['on one line', privatePem.replaceAll('\n', '')],
    ['with \\n as two characters', privatePem.replaceAll('\n', '\\n')],
    ['base64 of a PEM', Buffer.from(privatePem).toString('base64')],
    ['the lines between BEGIN and END', base64],
    ['these on one line', base64.replaceAll('\n', '')],
    ['the first of these', base64.split('\n')[0] ?? ''],
    ['with quotes around it', JSON.stringify(privatePem)],
    ['behind a scheme', `https://${base64.replaceAll('\n', '')}/`],
    ['behind a folder', `/run/${base64.replaceAll('\n', '')}`],
  ];
  const places: [place: string, options: (text: string) => object][] = [
    ['signingKey', (text) => ({ signingKey: text })],
    ['signingKey.keyFile', (text) => ({ signingKey: { keyFile: text } })],
    ['signingKey.privateKey', (text) => ({ signingKey: { privateKey: `${text}x` } })],
    ['signingKey.keyId', (text) => ({ signingKey: { privateKey: key.privatePem, keyId: text } })],
    [
      'signingKey.algorithm',
      (text) => ({ signingKey: { privateKey: key.privatePem, algorithm: text } }),
    ],
    ['signingKey.current', (text) => ({ signingKey: { current: text } })],
    ['signingKey.previous', (text) => ({ signingKey: { ...GOOD.signingKey, previous: text } })],
    ['signingKey, of a function', (text) => ({ signingKey: async () => text })],
    ['publicKey', (text) => trust({ issuer: HERALD, publicKey: text })],
    [
      'the id of two keys',
      (text) => {
        const one = { publicKey: key.publicPem, keyId: text };
        return trust({ issuer: HERALD, keys: [one, one] });
      },
    ],
    ['a list of keys', (text) => trust({ issuer: HERALD, keys: [text] })],
    ['algorithms', (text) => trust({ issuer: HERALD, jwksUri: HERALD, algorithms: [text] })],
    [
      'an originator',
      (text) => ({ trustDomain: 'census.test', originators: [{ issuer: text, subjects: [text] }] }),
    ],
    ['jwksUri', (text) => trust({ issuer: HERALD, jwksUri: text })],
    ['the issuer of a peer', (text) => trust({ issuer: text })],
    ['subjects', (text) => trust({ issuer: HERALD, publicKey: key.publicPem, subjects: [text] })],
    ['issuer', issuer],
    ['audience', (text) => ({ audience: text })],
    ['trustDomain', (text) => ({ trustDomain: text })],
    ['baseUrl', baseUrl],
    ['baseUrl beside audience', (text) => ({ targets: [{ baseUrl: text, audience: HERALD }] })],
    ['the audience of a target', (text) => ({ targets: [{ baseUrl: HERALD, audience: text }] })],
    ['a word', (text) => ({ unknownTargets: text })],
    ['a header', (text) => ({ signedHeaders: [text] })],
  ];
  it.each(places)('%s', async (place, optionsWith) => {
    for (const [form, text] of forms) {
      const problems = (await problemsOf({ ...GOOD, ...optionsWith(text) })).join('\n');
      const quoted = base64.split('\n').filter((line) => problems.includes(line.slice(0, 20)));
      expect({ place, form, quoted }).toEqual({ place, form, quoted: [] });
      expect(problems).not.toMatch(/-----|PRIVATE|LS0t/);
    }
  });
});

it('and none of them: a service starts', async () => {
  expect(await problemsOf(GOOD)).toEqual([]);
});

it.each(['HTTPS://Herald.service:443', 'https://bücher.service/', 'https://Herald.service/'])(
  '%s may be a base URL beside an audience',
  async (written) => {
    const targets = [{ baseUrl: written, audience: HERALD }];
    const service = await createServiceAuth({ ...GOOD, targets });
    expect(service.targetOf(new URL('/users', written))?.audience).toBe(HERALD);
    service.close();
  },
);

it('the error is its list: nothing of a stack follows', () => {
  const error = new ServiceAuthConfigError(['issuer: is empty', 'targets: is null']);
  const list = '  - issuer: is empty\n  - targets: is null';
  expect(error.message).toBe(`Service auth is not configured correctly:\n${list}`);
  expect(error.stack).toBe(`ServiceAuthConfigError: ${error.message}`);
});

it('the default clock is the one of the moment: fake timers that come later are seen', async () => {
  const service = await createServiceAuth(GOOD);
  const { now } = Date;
  try {
    Date.now = () => 1234;
    expect(service.settings.now()).toBe(1234);
  } finally {
    Date.now = now;
    service.close();
  }
  expect(service.settings.now()).toBeGreaterThan(1_600_000_000_000);
});
