import type { ExecutionContext } from '@nestjs/common';
import type {
  IncomingRequest,
  ServiceAuthUnavailableError,
  ServiceTokenRefusedError,
} from '../../core/index.js';
import type { BodySettings } from './http-body.js';
import { httpTransport } from './http.transport.js';

/** One request and the answer to it, as the guard needs them. */
export interface Exchange {
  readonly request: IncomingRequest;
  /** The object that stands for this request while it is served. */
  readonly key: object;
  /** False only if the whole list of headers was seen, without a token. */
  readonly mayHaveToken: boolean;
  /** The pattern of the route that was found for it, as `/users/:id`; undefined where it is not known. */
  readonly route: string | undefined;
  setUser(user: unknown): void;
  /** Takes the token out of the request, so that no logger and no handler passes it on. */
  removeToken(): void;
  /** Tells caches that the answer depends on the token. */
  describeResponse(): void;
  /** The exception that answers a refusal in this transport. */
  refuse(error: ServiceTokenRefusedError | ServiceAuthUnavailableError): Error;
}

/** What a transport needs to know of the settings, and of the route. */
export interface ExchangeSettings {
  /** The name of the service in a challenge. */
  readonly realm: string;
  readonly body: BodySettings;
}

/** A way in which requests reach a Nest application. */
export interface Transport {
  open(context: ExecutionContext, settings: ExchangeSettings): Exchange;
}

const TRANSPORTS: ReadonlyMap<string, Transport> = new Map([['http', httpTransport]]);

/** The transport of an execution context; undefined for every type that is not in the table. */
export function transportOf(context: ExecutionContext): Transport | undefined {
  return TRANSPORTS.get(context.getType());
}
