/** What the flawed generator raises to random powers. */
const BASE = 65537;

/** The flaw shows in the primes up to this one for keys of every size, and in more primes for larger keys. */
const LAST_PRIME = 167;

/**
 * Whether an RSA modulus has the fingerprint of the key generator of CVE-2017-15361 (ROCA), whose keys can be
 * factored. Both factors are powers of 65537 modulo each small prime, and so is their product. A modulus of another
 * generator matches by chance once in 2^27.8: make another key then.
 *
 * @see "The Return of Coppersmith's Attack", ACM CCS 2017
 */
export function hasRocaFingerprint(modulus: bigint): boolean {
  return SMALL_PRIMES.every((prime) => isPowerOfBase(Number(modulus % BigInt(prime)), prime));
}

const SMALL_PRIMES = Array.from({ length: LAST_PRIME - 2 }, (_, at) => at + 3).filter(isPrime);

function isPrime(candidate: number): boolean {
  for (let divisor = 2; divisor * divisor <= candidate; divisor++) {
    if (candidate % divisor === 0) return false;
  }
  return true;
}

function isPowerOfBase(residue: number, prime: number): boolean {
  let power = 1;
  do {
    if (power === residue) return true;
    power = (power * BASE) % prime;
  } while (power !== 1);
  return false;
}
