import { generateKeyPairSync, webcrypto } from 'node:crypto';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { createKey } from '../support/keys/keys.js';
import { problemsOf } from '../support/observed/problems.js';
import { selfSign } from '../support/keys/self-signed.js';

const key = createKey();
const rsaPss = generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
const { privatePem, publicPem, privateKey, publicKey } = key;
const cipher = { cipher: 'aes-256-cbc', passphrase: 'canary' } as const;
const encrypted = privateKey.export({ type: 'pkcs8', format: 'pem', ...cipher }).toString();
const encryptedSec1 = privateKey.export({ type: 'sec1', format: 'pem', ...cipher }).toString();
const sec1 = privateKey.export({ type: 'sec1', format: 'pem' }).toString();
const der = privateKey.export({ type: 'pkcs8', format: 'der' });
const jwk = privateKey.export({ format: 'jwk' });
const indented = privatePem.replaceAll(/^/gm, '    ');
const openSsh = `-----BEGIN OPENSSH PRIVATE KEY-----\n${'b3BlbnNzaC1r'.repeat(5)}\n-----END OPENSSH PRIVATE KEY-----\n`;
const certificate = selfSign(createKey());

const PARAMETERS = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n';
const HOW_PRIVATE = 'write one unencrypted private key as PKCS#8 PEM, JWK, KeyObject or CryptoKey';
const HOW_PUBLIC = 'write one public key as SPKI PEM, JWK, KeyObject or CryptoKey';

const PRIVATE: [title: string, material: unknown, clause: string][] = [
  ['undefined', undefined, 'is not set (undefined)'],
  ['null', null, 'is null'],
  ['an empty text', '', 'is empty'],
  ['white space', ' \n', 'is empty'],
  ['encrypted PKCS#8', encrypted, 'is encrypted; decrypt it with openssl pkcs8 -topk8 -nocrypt'],
  ['encrypted SEC1', encryptedSec1, 'is encrypted; decrypt it with openssl pkcs8 -topk8 -nocrypt'],
  [
    '\\n as two characters',
    privatePem.replaceAll('\n', '\\n'),
    'has "\\n" as two characters, where line breaks belong: .replaceAll("\\\\n", "\\n")',
  ],
  [
    'one line',
    privatePem.replaceAll('\n', ' '),
    'is on one line, without the line breaks of a PEM',
  ],
  ['quotes around', `"${privatePem}"`, 'has quotes around it'],
  ['indentation', indented, 'has indented lines'],
  [
    'base64 of the PEM',
    Buffer.from(privatePem).toString('base64'),
    'is the base64 of a PEM; decode it',
  ],
  ['CR only', privatePem.replaceAll('\n', '\r'), 'has CR alone as its line breaks'],
  [
    'key and certificate',
    privatePem + certificate,
    'is a key and a certificate; keep the key alone',
  ],
  ['two keys', privatePem + privatePem, 'is more than one PEM block'],
  ['a public key', publicPem, 'is a public key'],
  ['a public key object', publicKey, 'is a public key'],
  ['a public JWK', publicKey.export({ format: 'jwk' }), 'is a public key'],
  ['a Buffer', Buffer.from(privatePem), 'is a Buffer; write its text'],
  ['DER', der, 'is DER, the bytes of a PEM'],
  ['DER in base64', der.toString('base64'), 'is base64 without BEGIN and END lines'],
  ['a JWK as text', JSON.stringify(jwk), 'is JSON as text; JSON.parse it'],
  ['a JWK Set', { keys: [jwk] }, 'is a JWK Set; take one key of it'],
  ['a path', './keys/herald.pem', 'is the path of a file'],
  ['an absolute path', '/run/secrets/herald', 'is the path of a file'],
  ['OpenSSH', openSsh, 'is in the format of OpenSSH'],
  ['a PEM cut short', privatePem.slice(0, 120), 'has no END line'],
  ['a shared secret', 'correct horse battery staple', 'is a text and no key'],
  ['a symmetric JWK', { kty: 'oct', k: 'c2VjcmV0' }, 'is a symmetric key'],
  ['a number', 5, 'is a number'],
];

const PUBLIC: [title: string, material: unknown, clause: string][] = [
  ['a private key', privatePem, 'is a private key, known to others by now: make a new one'],
  ['a private key object', privateKey, 'is a private key, known to others by now: make a new one'],
  ['a certificate', certificate, 'is a certificate; take the public key out of it'],
  ['a Buffer', Buffer.from(publicPem), 'is a Buffer; write its text'],
  [
    '\\n as two characters',
    publicPem.replaceAll('\n', '\\n'),
    'has "\\n" as two characters, where line breaks belong: .replaceAll("\\\\n", "\\n")',
  ],
  ['a path', 'herald.public.pem', 'is the path of a file'],
];

const signing = (material: unknown) => ({
  issuer: 'https://herald.service/',
  signingKey: { privateKey: material },
  targets: [{ baseUrl: 'https://census.service/' }],
});
const trusting = (material: unknown) => ({
  issuer: 'https://census.service/',
  trustedIssuers: [{ issuer: 'https://herald.service/', keys: [material] }],
});

/** What of a key no message may have: any ten characters in a row of its lines. */
function assertQuotesNothing(problems: readonly string[], material: unknown): void {
  const text = typeof material === 'string' ? material : JSON.stringify(material ?? '');
  const runs = text.match(/[A-Za-z0-9+/]{16,}/g) ?? [];
  const quoted = runs.filter((run) => problems.join().includes(run.slice(0, 10)));
  expect(quoted).toEqual([]);
}

it.each(PRIVATE)('a private key that is %s', async (_title, material, clause) => {
  const problems = await problemsOf(signing(material));
  expect(problems).toEqual([`signingKey.privateKey: ${clause}; ${HOW_PRIVATE}`]);
  assertQuotesNothing(problems, material);
});

it.each(PUBLIC)('a public key that is %s', async (_title, material, clause) => {
  const problems = await problemsOf(trusting(material));
  expect(problems).toEqual([`trustedIssuers[0].keys[0]: ${clause}; ${HOW_PUBLIC}`]);
  assertQuotesNothing(problems, material);
});

it('a private key for RSA-PSS alone', async () => {
  expect(await problemsOf(signing(rsaPss.privateKey))).toEqual([
    'signingKey.privateKey: is an RSA-PSS key; write a P-256, P-384, P-521, Ed25519 or RSA key',
  ]);
});

it.each([
  ['PKCS#8', privatePem],
  ['with CR and LF', privatePem.replaceAll('\n', '\r\n')],
  ['SEC1', sec1],
  ['SEC1 behind EC PARAMETERS, as openssl ecparam -genkey writes it', PARAMETERS + sec1],
])('a good private key: %s', async (_title, material) => {
  const service = await createServiceAuth(signing(material) as never);
  expect(service.publishedKeys()?.keys[0]).toMatchObject({ x: jwk.x, y: jwk.y });
  service.close();
});

it('a CryptoKey of the other half', async () => {
  const pair = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, [
    'sign',
    'verify',
  ]);
  expect(await problemsOf(signing(pair.publicKey))).toEqual([
    `signingKey.privateKey: is a public key; ${HOW_PRIVATE}`,
  ]);
  expect(await problemsOf(signing(pair.privateKey))).toEqual([]);
});
