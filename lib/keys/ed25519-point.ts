/** The field and the constant of edwards25519. */
const P = 2n ** 255n - 19n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;

/**
 * Whether 32 bytes are a point that can be a public key: canonical, on the curve, not of small order. OpenSSL checks
 * none of this when it imports a key, and anyone can sign for a key of small order.
 *
 * @see RFC 8032 sections 5.1.3 and 5.1.7
 */
export function isEd25519PublicKey(encoded: Uint8Array): boolean {
  const y = BigInt.asUintN(255, readLittleEndian(encoded));
  if (encoded.length !== 32 || y >= P) return false;
  const y2 = (y * y) % P;
  // The curve gives x² as a fraction, which is a square exactly when the product is. With x = 0 (order
  // 1 and 2) the product is 0. Doubling gives y = 0 after order 8, and y = 0 is of order 4.
  const isOnCurve = isNonZeroSquare((y2 - 1n) * (D * y2 + 1n));
  const isOfOrder8 = (D * y2 * y2 + 2n * y2 - 1n) % P === 0n;
  return isOnCurve && y !== 0n && !isOfOrder8;
}

function readLittleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x0${Buffer.from(bytes).reverse().toString('hex')}`);
}

/** Euler's criterion. */
function isNonZeroSquare(value: bigint): boolean {
  let result = 1n;
  let power = ((value % P) + P) % P;
  for (let exponent = (P - 1n) / 2n; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * power) % P;
    power = (power * power) % P;
  }
  return result === 1n;
}
