import { types } from 'node:util';
import { kindOf } from '../core/index.js';

type Half = 'public' | 'private';
type Rule = readonly [applies: (text: string) => boolean, clause: string];

/** A private key in a receiver's options has left the caller. */
const PRIVATE_AS_PUBLIC = 'is a private key, known to others by now: make a new one';

/** Recognised by labels and shape alone; no text quotes a key. The first matching rule counts. */
const PEM_RULES: readonly Rule[] = [
  [(pem) => /^\s*["']/.test(pem), 'has quotes around it'],
  [
    (pem) => pem.includes('\\n'),
    'has "\\n" as two characters, where line breaks belong: .replaceAll("\\\\n", "\\n")',
  ],
  [
    (pem) => /BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(pem),
    'is encrypted; decrypt it with openssl pkcs8 -topk8 -nocrypt',
  ],
  [(pem) => pem.includes('BEGIN OPENSSH'), 'is in the format of OpenSSH'],
  [(pem) => pem.includes('BEGIN CERTIFICATE REQUEST'), 'is a certificate request'],
  [(pem) => isWithKey(pem, 'CERTIFICATE'), 'is a key and a certificate; keep the key alone'],
  [(pem) => pem.includes('BEGIN CERTIFICATE'), 'is a certificate; take the public key out of it'],
  [(pem) => labelsOf(pem).length > 1, 'is more than one PEM block'],
  [(pem) => !/[\r\n]/.test(pem.trim()), 'is on one line, without the line breaks of a PEM'],
  [(pem) => /\r(?!\n)/.test(pem), 'has CR alone as its line breaks'],
  [(pem) => /^[ \t]+\S/m.test(pem), 'has indented lines'],
  [(pem) => !pem.includes('-----END '), 'has no END line'],
];

const TEXT_RULES: readonly Rule[] = [
  [(text) => text.trimStart().startsWith('{'), 'is JSON as text; JSON.parse it'],
  [(text) => /^\s*LS0tLS1CRUdJTi/.test(text), 'is the base64 of a PEM; decode it'],
  [
    (text) => /^[\w~./\\:-]{1,200}\.(?:pem|key|jwk|json|pub|crt)$/.test(text),
    'is the path of a file',
  ],
  [(text) => /^[~.]{0,2}[/\\][\w./\\-]{1,200}$/.test(text), 'is the path of a file'],
  [(text) => /^M[A-Z][A-Za-z0-9+/=\s]{30,}$/.test(text), 'is base64 without BEGIN and END lines'],
];

/** The form of a value that cannot be read as a key, in one clause: `is encrypted`. */
export function describeKeyForm(material: unknown, half: Half): string {
  if (types.isKeyObject(material) || types.isCryptoKey(material))
    return kindOfKey(material.type, half);
  if (ArrayBuffer.isView(material) || types.isAnyArrayBuffer(material))
    return formOfBytes(material);
  if (typeof material === 'string' && material.trim() !== '') return formOfText(material, half);
  if (typeof material !== 'object' || material === null) return kindOf(material);
  if (Object.hasOwn(material, 'keys')) return 'is a JWK Set; take one key of it';
  return Object.hasOwn(material, 'kty') ? formOfJwk(material, half) : kindOf(material);
}

function kindOfKey(type: string, half: Half): string {
  if (half === 'public' && type === 'private') return PRIVATE_AS_PUBLIC;
  return type === 'secret' ? 'is a symmetric key' : `is a ${type} key`;
}

function formOfBytes(bytes: ArrayBufferView | ArrayBufferLike): string {
  const view = ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
  if (view[0] === 0x30) return 'is DER, the bytes of a PEM';
  return view[0] === 0x2d || view[0] === 0x7b ? 'is a Buffer; write its text' : 'is a Buffer';
}

function formOfText(text: string, half: Half): string {
  const isPem = text.includes('-----BEGIN');
  const [found] = (isPem ? PEM_RULES : TEXT_RULES).filter(([applies]) => applies(text));
  if (found) return found[1];
  if (!isPem) return 'is a text and no key';
  const label = labelsOf(text)[0] ?? '';
  if (half === 'private' && label.endsWith('PUBLIC KEY')) return 'is a public key';
  if (half === 'public' && label.endsWith('PRIVATE KEY')) return PRIVATE_AS_PUBLIC;
  return 'is a PEM that cannot be read';
}

function formOfJwk(jwk: object, half: Half): string {
  if (isSymmetric(jwk)) return 'is a symmetric key';
  const isPublic = !Object.hasOwn(jwk, 'd');
  return half === 'private' && isPublic ? 'is a public key' : 'is a JWK that cannot be read';
}

/** The error of a getter may quote a key. */
function isSymmetric(jwk: object): boolean {
  try {
    return Reflect.get(jwk, 'kty') === 'oct';
  } catch {
    return false;
  }
}

function labelsOf(pem: string): string[] {
  return [...pem.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)].map(([, label = '']) => label);
}

function isWithKey(pem: string, label: string): boolean {
  const labels = labelsOf(pem);
  return labels.includes(label) && labels.some((name) => name.endsWith('KEY'));
}
