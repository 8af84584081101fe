import { generateKeyPairSync } from 'node:crypto';
import type { JWK } from 'jose';
import type { Environment } from '../setup/environment.js';
import { readPrivateKey } from '../setup/key-files.js';
import { SERVICE_URIS } from '../setup/services.js';
import type { SentRequest } from '../story/http-client.js';
import { get, grantFor, post, sign, type Signer } from '../story/signed-request.js';
import { NEWCOMER, OPERATOR } from '../story/story.js';
import { readToken, rewriteToken } from './token-parts.js';

export const ORDER = { user: NEWCOMER, type: 'welcome-message' };

/** Makes requests to Herald and Census: as their callers would, and as they never would. */
export class Forger {
  private readonly another: Signer;
  private readonly herald: Signer;

  constructor(private readonly environment: Pick<Environment, 'baseUrls' | 'keys'>) {
    this.another = {
      issuer: SERVICE_URIS.another,
      privateKey: readPrivateKey(environment.keys, 'another'),
      audience: SERVICE_URIS.herald,
    };
    this.herald = {
      issuer: SERVICE_URIS.herald,
      privateKey: readPrivateKey(environment.keys, 'herald'),
      audience: SERVICE_URIS.census,
    };
  }

  /** The order to welcome user 42, without a token. */
  unsigned(): SentRequest {
    return post(this.urlOf('/notification/'), ORDER);
  }

  /** The same, signed by another.service for the operator, who is there; `instead` says what is otherwise. */
  async signed(instead: Partial<Signer> = {}): Promise<SentRequest> {
    const grant = await this.grant(OPERATOR);
    return await sign(this.unsigned(), { ...this.another, grant, ...instead });
  }

  /** Asks Census for user 42 with Herald's own key, for that user; `instead` says what is otherwise. */
  async signedAsHerald(instead: Partial<Signer> = {}): Promise<SentRequest> {
    const request = get(new URL('user/42/', this.environment.baseUrls.census).href);
    return await sign(request, { ...this.herald, subject: NEWCOMER, ...instead });
  }

  /** What Edge signs when this user is there. @param now the clock, in milliseconds since the epoch */
  async grant(user: string, now?: () => number): Promise<string> {
    return await grantFor(user, this.environment.keys, { now });
  }

  /** Signed in the name of another.service with a key that somebody made a moment ago. */
  async signedWithForeignKey(instead: Partial<Signer> = {}): Promise<SentRequest> {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return await this.signed({ ...instead, privateKey });
  }

  /** Likewise, with the id of another.service's own key on it. */
  async signedUnderKnownKeyId(): Promise<SentRequest> {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const known = readToken(tokenOf(await this.signed())).header['kid'];
    const jwk: JWK = { ...privateKey.export({ format: 'jwk' }), kid: String(known), alg: 'ES256' };
    return await this.signed({ privateKey: jwk });
  }

  urlOf(target: string): string {
    return new URL(target, this.environment.baseUrls.herald).href;
  }
}

/** The grant of a request that has one. */
export function grantOf({ headers }: SentRequest): string {
  return headers['Txn-Token'] ?? '';
}

/** The token of a request that has one. */
export function tokenOf({ headers }: SentRequest): string {
  return headers['JWT'] ?? '';
}

/** The same request with another token. */
export function withToken(request: SentRequest, token: string): SentRequest {
  return { ...request, headers: { ...request.headers, JWT: token } };
}

/** The same request with its token rewritten, and the signature as it was. */
export function withRewrittenToken(
  request: SentRequest,
  parts: Parameters<typeof rewriteToken>[1],
): SentRequest {
  return withToken(request, rewriteToken(tokenOf(request), parts));
}
