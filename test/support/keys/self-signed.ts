import { sign } from 'node:crypto';
import type { TestKey } from './keys.js';

export interface CertificateParts {
  /** Default: `127.0.0.1`. */
  readonly name?: string;
  /** From when until when it is valid, in days from now. Default: since yesterday, for a day. */
  readonly days?: readonly [number, number];
}

/** A certificate that nobody vouches for but its own key (P-256). */
export function selfSign(key: TestKey, parts: CertificateParts = {}): string {
  const { name: host = '127.0.0.1', days: validity = [-1, 1] } = parts;
  const ecdsaWithSha256 = sequence(oid('2a8648ce3d040302'));
  const name = sequence(tag(0x31, sequence(oid('550403'), tag(0x0c, Buffer.from(host)))));
  const days = validity.map((day) => utcTime(new Date(Date.now() + day * 86_400_000)));
  const publicKey = key.publicKey.export({ type: 'spki', format: 'der' });
  const serialNumber = tag(0x02, Buffer.from([1]));
  const toSign = sequence(serialNumber, ecdsaWithSha256, name, sequence(...days), name, publicKey);
  const signature = sign('sha256', toSign, key.privateKey);
  const bits = tag(0x03, Buffer.concat([Buffer.from([0]), signature]));
  const base64 = sequence(toSign, ecdsaWithSha256, bits).toString('base64');
  return `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
}

const sequence = (...parts: Buffer[]): Buffer => tag(0x30, Buffer.concat(parts));

const oid = (hex: string): Buffer => tag(0x06, Buffer.from(hex, 'hex'));

/** `YYMMDDhhmmssZ` */
const utcTime = (date: Date): Buffer =>
  tag(0x17, Buffer.from(`${date.toISOString().replace(/\D/g, '').slice(2, 14)}Z`));

/** DER: tag, length, content. */
function tag(number: number, content: Buffer): Buffer {
  const { length } = content;
  const lengthBytes =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([number, ...lengthBytes]), content]);
}
