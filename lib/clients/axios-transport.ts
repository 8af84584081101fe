import http, { type ClientRequest, type RequestOptions } from 'node:http';
import https from 'node:https';
import type { AxiosLikeConfig } from './axios-config.js';
import { concealToken, eraseFromHeaders } from './sent-token.js';

/** The transport with which axios's http adapter makes requests, such as Node's `http` and `https`. */
interface Transport {
  request(options: RequestOptions, ...others: unknown[]): unknown;
}

/**
 * The transport for a request with a token, instead of the caller's or Node's own. It follows no redirects, and hides
 * the token from code that prints requests.
 */
export function signedTransport(config: AxiosLikeConfig): unknown {
  const inner = innerTransport(config);
  return {
    request(options: RequestOptions, ...others: unknown[]): unknown {
      const request = inner.request(options, ...others);
      // Agents and TLS sockets keep the options long after the request.
      if (concealToken(request)) eraseFromHeaders(options.headers);
      return request;
    },
  } satisfies Transport;
}

function innerTransport(config: AxiosLikeConfig): Transport {
  const { transport } = config;
  return isTransport(transport) ? withoutRedirects(transport) : nodeTransport(config);
}

/** Axios does not pass `maxRedirects` to a transport of the caller, which may be follow-redirects. */
function withoutRedirects(transport: Transport): Transport {
  return {
    request: (options, ...others) =>
      transport.request(Object.assign(options, { followRedirects: false }), ...others),
  };
}

/** The transport that axios would choose. Looked up for each call, since tests and tracers replace `http.request`. */
function nodeTransport({ timeout }: AxiosLikeConfig): Transport {
  return {
    request(options, onResponse) {
      const { request } = options.protocol === 'https:' ? https : http;
      return limited(request(options, onResponse as () => void), timeout);
    },
  };
}

/**
 * Starts the timeout now. Node's timeout begins with the connection, and axios adds this one only if it chooses the
 * transport itself.
 */
function limited(request: ClientRequest, timeout: unknown): ClientRequest {
  const milliseconds = Number.parseInt(String(timeout), 10);
  if (!(milliseconds > 0)) return request;
  const timer = setTimeout(() => request.emit('timeout'), milliseconds).unref();
  for (const end of ['response', 'close']) request.once(end, () => clearTimeout(timer));
  return request;
}

function isTransport(transport: unknown): transport is Transport {
  const mayHaveMembers = typeof transport === 'object' || typeof transport === 'function';
  return mayHaveMembers && transport !== null && 'request' in transport;
}
