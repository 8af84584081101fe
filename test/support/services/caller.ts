import type { OutgoingHttpHeaders } from 'node:http';
import { strictToken, type Json } from '../tokens/forge.js';
import { type Answer, call, type Call } from '../http/http.js';
import { createKey, type TestKey } from '../keys/keys.js';

export interface SignedCall extends Call {
  /** The user the token names; left out: the caller acts for itself. */
  readonly subject?: string;
  /** The request target the token is made for. Default: the one that is sent. */
  readonly signedTarget?: string;
  readonly contentType?: string;
  /** Merged over the claims of a good token. */
  readonly claims?: Json;
}

/** A service that calls another one, with tokens that the library had no part in making. */
export class Caller {
  readonly key: TestKey = createKey();

  constructor(
    readonly issuer: string,
    private readonly audience: string,
  ) {}

  /** How a receiver names this caller in its `trustedIssuers`. */
  get trusted(): { issuer: string; publicKey: string } {
    return { issuer: this.issuer, publicKey: this.key.publicPem };
  }

  token(request: Omit<SignedCall, 'chunks' | 'headers'>): string {
    const { target, signedTarget = target, ...parts } = request;
    return strictToken({
      ...parts,
      key: this.key,
      issuer: this.issuer,
      audience: this.audience,
      target: signedTarget,
    });
  }

  /** The headers of a signed request. */
  headers(request: SignedCall): OutgoingHttpHeaders {
    const { contentType, headers } = request;
    const type = contentType === undefined ? {} : { 'content-type': contentType };
    return { jwt: this.token(request), ...type, ...headers };
  }

  async send(port: number, request: SignedCall): Promise<Answer> {
    return await call(port, { ...request, headers: this.headers(request) });
  }

  async get(port: number, target: string, subject?: string): Promise<Answer> {
    return await this.send(port, { target, subject });
  }

  async post(port: number, target: string, json: unknown, subject?: string): Promise<Answer> {
    const body = JSON.stringify(json);
    const contentType = 'application/json';
    return await this.send(port, { method: 'POST', target, body, contentType, subject });
  }
}
