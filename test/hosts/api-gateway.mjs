// What stands before a Lambda function: HTTP requests become events, and what the function answers becomes HTTP. The
// shapes are those of AWS's documentation.
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';

/**
 * @typedef {import('node:http').IncomingMessage} IncomingMessage
 * @typedef {{
 *   statusCode: number,
 *   headers?: Record<string, string>,
 *   multiValueHeaders?: Record<string, string[]>,
 *   body?: string,
 *   isBase64Encoded?: boolean,
 * }} LambdaAnswer
 * @typedef {(event: object, context: object) => Promise<LambdaAnswer>} Handler
 * @typedef {(request: IncomingMessage, body: Buffer) => object} ToEvent
 */

const TEXT_TYPES = /^(?:text\/|application\/(?:json|javascript|xml))/i;

/** Every header, with its values in their order. */
function valuesOf(/** @type {IncomingMessage} */ { rawHeaders }, isLowerCase = false) {
  /** @type {Record<string, string[]>} */
  const values = {};
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const given = rawHeaders[at] ?? '';
    const name = isLowerCase ? given.toLowerCase() : given;
    (values[name] ??= []).push(rawHeaders[at + 1] ?? '');
  }
  return values;
}

/**
 * @template T
 * @param {Record<string, string[]>} values
 * @param {(values: string[]) => T} toOne
 */
function each(values, toOne) {
  return Object.fromEntries(Object.entries(values).map(([name, all]) => [name, toOne(all)]));
}

const last = (/** @type {string[]} */ values) => values.at(-1) ?? '';

const decoded = (/** @type {string} */ text) => decodeURIComponent(text.replaceAll('+', ' '));

/** @param {string} search @param {(text: string) => string} decode */
function queryOf(search, decode) {
  /** @type {Record<string, string[]>} */
  const query = {};
  for (const pair of search.split('&').filter(Boolean)) {
    const [name = '', ...value] = pair.split('=');
    (query[decode(name)] ??= []).push(decode(value.join('=')));
  }
  return query;
}

/** @param {Buffer} body @param {boolean} isBase64Encoded */
function bodyOf(body, isBase64Encoded) {
  if (body.length === 0) return { body: null, isBase64Encoded: false };
  return { body: body.toString(isBase64Encoded ? 'base64' : 'utf8'), isBase64Encoded };
}

/** @param {IncomingMessage} request */
function partsOf(request) {
  const [path = '', search = ''] = (request.url ?? '').split('?');
  const isText = TEXT_TYPES.test(request.headers['content-type'] ?? '');
  return { path, search, isText, method: request.method ?? '' };
}

/** A REST API (payload version 1.0), whose queries come decoded. @param {boolean} isBinary `binaryMediaTypes` is `*\/*` */
function toRestEvent(
  /** @type {IncomingMessage} */ request,
  /** @type {Buffer} */ body,
  isBinary = true,
) {
  const { path, search, method } = partsOf(request);
  const headers = valuesOf(request);
  for (const name of Object.keys(headers)) {
    if (/^(?:content-length|transfer-encoding|connection)$/i.test(name)) delete headers[name];
  }
  const query = queryOf(search, decoded);
  const hasQuery = search !== '';
  return {
    resource: '/{proxy+}',
    path,
    httpMethod: method,
    headers: each(headers, last),
    multiValueHeaders: headers,
    queryStringParameters: hasQuery ? each(query, last) : null,
    multiValueQueryStringParameters: hasQuery ? query : null,
    pathParameters: { proxy: path.slice(1) },
    stageVariables: null,
    requestContext: {
      resourcePath: '/{proxy+}',
      httpMethod: method,
      path: `/live${path}`,
      stage: 'live',
      protocol: 'HTTP/1.1',
      requestId: 'c6af9ac6-7b61-11e6-9a41-93e8deadbeef',
      identity: { sourceIp: '127.0.0.1', userAgent: null },
    },
    ...bodyOf(body, isBinary),
  };
}

/** An HTTP API or a function URL (payload version 2.0). */
function toHttpEvent(/** @type {IncomingMessage} */ request, /** @type {Buffer} */ body) {
  const { path, search, isText, method } = partsOf(request);
  const headers = valuesOf(request, true);
  delete headers['transfer-encoding'];
  headers['content-length'] = [String(body.length)];
  const event = {
    version: '2.0',
    routeKey: '$default',
    rawPath: path,
    rawQueryString: search,
    headers: each(headers, (values) => values.join(',')),
    ...(search ? { queryStringParameters: each(queryOf(search, decoded), String) } : {}),
    requestContext: {
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: '' },
      stage: '$default',
      requestId: 'JKJaXmPLvHcESHA=',
      routeKey: '$default',
    },
  };
  if (body.length === 0) return { ...event, isBase64Encoded: false };
  return { ...event, ...bodyOf(body, !isText) };
}

/** A load balancer, whose queries come as they were sent. @param {boolean} isMulti `lambda.multi_value_headers.enabled` */
function toLoadBalancerEvent(
  /** @type {IncomingMessage} */ request,
  /** @type {Buffer} */ body,
  isMulti = false,
) {
  const { path, search, isText, method } = partsOf(request);
  const headers = valuesOf(request, true);
  delete headers['transfer-encoding'];
  headers['content-length'] = [String(body.length)];
  const query = queryOf(search, String);
  const shape = isMulti
    ? { multiValueHeaders: headers, multiValueQueryStringParameters: query }
    : { headers: each(headers, last), queryStringParameters: each(query, last) };
  return {
    requestContext: {
      elb: { targetGroupArn: 'arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/x/1' },
    },
    httpMethod: method,
    path,
    ...shape,
    body: body.toString(isText ? 'utf8' : 'base64'),
    isBase64Encoded: !isText && body.length > 0,
  };
}

/** What a function can stand behind, each with its own kind of event. @type {Record<string, ToEvent>} */
export const GATEWAYS = {
  'REST API': toRestEvent,
  'REST API, text': (request, body) => toRestEvent(request, body, false),
  'HTTP API': toHttpEvent,
  ALB: toLoadBalancerEvent,
  'ALB, multi-value': (request, body) => toLoadBalancerEvent(request, body, true),
};

/** @param {Handler} handler @param {ToEvent} toEvent */
export function createGateway(handler, toEvent) {
  return createServer((request, response) => {
    const answer = async () => {
      const body = await buffer(request);
      const context = { awsRequestId: 'c6af9ac6-7b61-11e6-9a41-93e8deadbeef' };
      // Through JSON, as events and answers travel.
      const event = /** @type {object} */ (JSON.parse(JSON.stringify(toEvent(request, body))));
      const given = await handler(event, context);
      const { statusCode, headers, multiValueHeaders, body: content = '', isBase64Encoded } = given;
      response.writeHead(statusCode, { ...headers, ...multiValueHeaders });
      response.end(Buffer.from(content, isBase64Encoded ? 'base64' : 'utf8'));
    };
    answer().catch((/** @type {unknown} */ error) => {
      console.error(error);
      response.writeHead(502).end(String(error));
    });
  });
}
