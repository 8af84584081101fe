import { checkPrimeSync, createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import type { TestKey } from './keys.js';

/**
 * Makes an RSA key of 2048 bits the way the generator of CVE-2017-15361 did: each prime is
 * k * M + (65537^a mod M), where M is the product of the first primes.
 */
export function createRocaKey(keyId: string): TestKey {
  const [p, q] = [createRocaPrime(), createRocaPrime()];
  const e = 65537n;
  const d = inverse(e, (p - 1n) * (q - 1n));
  const numbers = { n: p * q, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  const members = Object.entries(numbers).map(([name, value]) => [name, toBase64url(value)]);
  const jwk = { kty: 'RSA', ...(Object.fromEntries(members) as Record<string, string>) };
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
  const publicKey = createPublicKey(privateKey);
  return {
    algorithm: 'RS256',
    privateKey,
    publicKey,
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    keyId,
  };
}

const M = firstPrimes(126).reduce((product, prime) => product * prime, 1n);

/** Of 1024 bits, the first two of them set, so that the product of two has 2048. */
function createRocaPrime(): bigint {
  const least = (3n << 1022n) / M + 1n;
  const range = (1n << 1022n) / M - 1n;
  for (;;) {
    const factor = least + (randomNumber() % range);
    const candidate = factor * M + power(65537n, randomNumber(), M);
    if (checkPrimeSync(candidate)) return candidate;
  }
}

function firstPrimes(count: number): bigint[] {
  const primes: bigint[] = [];
  for (let candidate = 2n; primes.length < count; candidate++) {
    if (primes.every((prime) => candidate % prime !== 0n)) primes.push(candidate);
  }
  return primes;
}

const randomNumber = (): bigint => BigInt(`0x${randomBytes(32).toString('hex')}`);

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  let square = base % modulus;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

/** By Euclid's algorithm. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [rest, next] = [modulus, value % modulus];
  let [factor, nextFactor] = [0n, 1n];
  while (next !== 0n) {
    const quotient = rest / next;
    [rest, next] = [next, rest - quotient * next];
    [factor, nextFactor] = [nextFactor, factor - quotient * nextFactor];
  }
  return ((factor % modulus) + modulus) % modulus;
}

function toBase64url(value: bigint): string {
  const digits = value.toString(16);
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex').toString('base64url');
}
