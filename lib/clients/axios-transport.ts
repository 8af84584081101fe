import http, { type ClientRequest, type RequestOptions } from 'node:http';
import https from 'node:https';
import type { AxiosLikeConfig } from './axios-config.js';
import { concealToken, eraseFromHeaders } from './sent-token.js';

/** What axios's http adapter makes requests with: Node's `http` and `https` are transports. */
interface Transport {
  request(options: RequestOptions, ...others: unknown[]): unknown;
}

/**
 * The transport for a request with a token, in place of the caller's or of Node's own: it follows no
 * redirects, and keeps the token from those who print requests.
 */
export function signedTransport(config: AxiosLikeConfig): unknown {
  const inner = innerTransport(config);
  return {
    request(options: RequestOptions, ...others: unknown[]): unknown {
      const request = inner.request(options, ...others);
      // Agents and TLS sockets keep the options, long after the request.
      if (concealToken(request)) eraseFromHeaders(options.headers);
      return request;
    },
  } satisfies Transport;
}

function innerTransport(config: AxiosLikeConfig): Transport {
  const { transport } = config;
  return isTransport(transport) ? withoutRedirects(transport) : nodeTransport(config);
}

/** Axios does not pass `maxRedirects` on to a transport of the caller's, which may be follow-redirects. */
function withoutRedirects(transport: Transport): Transport {
  return {
    request: (options, ...others) =>
      transport.request(Object.assign(options, { followRedirects: false }), ...others),
  };
}

/** What axios would choose itself. Looked up for each call: tests and tracers replace `http.request`. */
function nodeTransport({ timeout }: AxiosLikeConfig): Transport {
  return {
    request(options, onResponse) {
      const { request } = options.protocol === 'https:' ? https : http;
      return limited(request(options, onResponse as () => void), timeout);
    },
  };
}

/**
 * Makes the timeout count from now on: that of Node begins with the connection, and axios adds this
 * where it chooses the transport itself.
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
