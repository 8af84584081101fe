/** Whether a server tells good requests from bad ones: what does not is not worth timing. */
import { toBytes, withChangedBody, withFlippedSignature } from './http-requests.mjs';

/** @typedef {import('./http-requests.mjs').Kind} Kind */
/** @typedef {import('./http-requests.mjs').SignedRequest} SignedRequest */
/** @typedef {Awaited<ReturnType<typeof import('./http-requests.mjs').createRequestSigner>>} RequestSigner */
/**
 * What a server looks at: the header with the token (none: it lets everybody in), the body, whether it saw the token
 * before.
 *
 * @typedef {{
 *   tokenHeader?: import('./http-requests.mjs').TokenHeader, verifiesBody?: boolean, isSingleUse?: boolean,
 * }} Manners
 */

/**
 * @param {{ variant: Manners, statusOf(request: Buffer): Promise<number> }} server
 * @param {Kind} kind
 * @param {RequestSigner} sign
 * @returns {Promise<string | undefined>} what is wrong with it
 */
export async function failureOf(server, kind, sign) {
  const { tokenHeader, verifiesBody, isSingleUse } = server.variant;
  const statusOf = async (/** @type {SignedRequest} */ request) =>
    await server.statusOf(toBytes(request, tokenHeader));
  const good = await sign(kind);
  const status = await statusOf(good);
  if (status >= 300) return `what is good was answered ${status}`;
  if (tokenHeader === undefined) return undefined;
  /** @type {Record<string, SignedRequest>} */
  const bad = {
    'another signature': withFlippedSignature(await sign(kind)),
    ...(verifiesBody && good.body && { 'another body': withChangedBody(await sign(kind)) }),
    ...(isSingleUse && { 'a second use': good }),
  };
  for (const [what, request] of Object.entries(bad)) {
    const answered = await statusOf(request);
    if (answered !== 401) return `${what} was answered ${answered}`;
  }
  return undefined;
}
