import { generateKeyPairSync } from 'node:crypto';
import type { JWK } from 'jose';
import type { KeyMaterial } from 'nestjs-service-auth/core';
import type { Environment } from '../setup/environment.js';
import { readPrivateKey } from '../setup/key-files.js';
import { SERVICE_URIS } from '../setup/services.js';
import type { SentRequest } from '../story/http-client.js';
import { get, grantFor, post, sign, type Signer } from '../story/signed-request.js';
import { NEWCOMER, OPERATOR } from '../story/story.js';
import { type ForgedRequest, tokenOf } from './forged-request.js';
import { heraldKeyOf } from './herald-key.js';
import { readToken } from './token-parts.js';

export const ORDER = { user: NEWCOMER, type: 'welcome-message' };
/** What Herald asks of Census. */
const LOOK_UP = 'user/42/';

type Places = Pick<Environment, 'baseUrls' | 'keys' | 'heraldKeyFile'>;

/** Makes requests to Herald and Census: as their callers would, and as they never would. */
export class Forger {
  private readonly another: Signer;

  constructor(private readonly environment: Places) {
    this.another = {
      issuer: SERVICE_URIS.another,
      privateKey: readPrivateKey(environment.keys, 'another'),
      audience: SERVICE_URIS.herald,
    };
  }

  /** The order to welcome user 42, without a token. */
  unsigned(): SentRequest {
    return post(this.urlOf('/notification/'), ORDER);
  }

  /** The same, signed by another.service for the operator, who is logged in; `instead` changes what the signer says. */
  async signed(instead: Partial<Signer> = {}): Promise<SentRequest> {
    const grant = await this.grant(OPERATOR);
    return await sign(this.unsigned(), { ...this.another, grant, ...instead });
  }

  /** Asks Census for user 42 with Herald's key, for that user; `instead` changes what the signer says. */
  async signedAsHerald(instead: Partial<Signer> = {}): Promise<SentRequest> {
    const request = get(new URL(LOOK_UP, this.environment.baseUrls.census).href);
    return await sign(request, this.herald(instead));
  }

  /** What Herald sends to Census for the operator, who is logged in. @param privateKey default: the key that Herald signs with */
  async heraldForOperator(privateKey?: KeyMaterial): Promise<SentRequest> {
    const grant = await this.grant(OPERATOR);
    const key = privateKey === undefined ? {} : { privateKey };
    return await this.signedAsHerald({ subject: OPERATOR, grant, ...key });
  }

  /** What Edge signs when this user is logged in. @param now the clock, in milliseconds since the epoch */
  async grant(user: string, now?: () => number): Promise<string> {
    return await grantFor(user, this.environment.keys, { now });
  }

  /** Signed in the name of another.service with a key that somebody made a moment ago. */
  async signedWithForeignKey(instead: Partial<Signer> = {}): Promise<ForgedRequest> {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return { ...(await this.signed({ ...instead, privateKey })), original: await this.signed() };
  }

  /** The same, under the id of another.service's own key. */
  async signedUnderKnownKeyId(): Promise<SentRequest> {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const known = readToken(tokenOf(await this.signed())).header['kid'];
    const jwk: JWK = { ...privateKey.export({ format: 'jwk' }), kid: String(known), alg: 'ES256' };
    return await this.signed({ privateKey: jwk });
  }

  urlOf(target: string): string {
    return new URL(target, this.environment.baseUrls.herald).href;
  }

  private herald(instead: Partial<Signer>): Signer {
    return {
      issuer: SERVICE_URIS.herald,
      privateKey: heraldKeyOf(this.environment),
      audience: SERVICE_URIS.census,
      subject: NEWCOMER,
      ...instead,
    };
  }
}
