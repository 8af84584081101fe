import {
  type Algorithm,
  createServiceAuth,
  type IncomingRequest,
  type OutgoingRequest,
  ServiceAuthError,
  type ServiceAuth,
  type ServiceAuthOptions,
} from 'nestjs-service-auth/core';
import { headerValues } from '../../../lib/core/request.js';
import type { TestKey } from '../keys/keys.js';

export const HERALD = 'https://herald.service/';
export const CENSUS = 'https://census.service/';
export const USER = 'https://census.service/user/21/';

/** Where the clocks of both services stand. */
export const NOW_SECONDS = 1_800_000_000;
export const now = (): number => NOW_SECONDS * 1000;

/** A service that calls and one that is called, without any framework. */
export interface Peers {
  readonly herald: ServiceAuth;
  readonly census: ServiceAuth;
}

export interface PeersOptions {
  readonly profile?: 'strict' | 'original';
  readonly algorithm?: Algorithm;
  readonly herald?: Partial<ServiceAuthOptions>;
  readonly census?: Partial<ServiceAuthOptions>;
}

export async function createPeers(key: TestKey, options: PeersOptions = {}): Promise<Peers> {
  const { profile, algorithm = key.algorithm } = options;
  return {
    herald: await createServiceAuth({
      issuer: HERALD,
      signingKey: { privateKey: key.privateKey, algorithm },
      targets: [{ baseUrl: CENSUS, profile }],
      now,
      ...options.herald,
    }),
    census: await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [
        { issuer: HERALD, profile, keys: [{ publicKey: key.publicKey, algorithms: [algorithm] }] },
      ],
      now,
      ...options.census,
    }),
  };
}

export const outgoing = (parts: Partial<OutgoingRequest> = {}): OutgoingRequest => ({
  method: 'POST',
  url: `${CENSUS}user/?dry=1`,
  headers: { 'Content-Type': 'application/json' },
  body: Buffer.from('{"name":"x"}'),
  subject: USER,
  ...parts,
});

/** What the receiver sees of a request that was sent with `token`. */
export function received(request: OutgoingRequest, token: string): IncomingRequest {
  const { pathname, search } = new URL(request.url);
  const headers = Object.entries(request.headers).flatMap(([name, value]) =>
    [value].flat().flatMap((one) => [name, one]),
  );
  return {
    method: request.method,
    target: pathname + search,
    rawHeaders: ['Host', 'census.service', ...headers, 'JWT', token],
    body: request.body,
  };
}

/** Signs, and fails where nothing was signed. */
export async function signed(service: ServiceAuth, request: OutgoingRequest): Promise<string> {
  const token = await service.sign(request);
  if (token === undefined) throw new Error('the request was not signed');
  return token;
}

/** The code an action fails with; `accepted` when it does not fail. Other errors are thrown on. */
export async function codeOf(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
    return 'accepted';
  } catch (error) {
    if (error instanceof ServiceAuthError) return error.code;
    throw error;
  }
}

/** The one token of a request. */
export const tokenOf = (request: IncomingRequest): string =>
  headerValues(request.rawHeaders, 'jwt')[0] ?? '';
