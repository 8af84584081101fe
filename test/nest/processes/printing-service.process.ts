// A guarded application that prints, in every way there is, what it refuses and what fails, and that
// sends itself the tables of the catalogue. Argument: the adapter. The test is told what was sent.
import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { type ArgumentsHost, Catch, ConsoleLogger } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { LoggingObserver } from 'nestjs-service-auth';
import { createServiceAuth, ServiceAuthError } from 'nestjs-service-auth/core';
import { type AttemptParts, tokenFor, toCall, withParts } from '../../support/attacks/attempt.js';
import { BINDING } from '../../support/attacks/binding.js';
import { CLAIMS } from '../../support/attacks/claims.js';
import { GRANTS } from '../../support/attacks/grants.js';
import { JOSE_HEADER } from '../../support/attacks/jose-header.js';
import { NAMES } from '../../support/attacks/names.js';
import { SIGNATURES } from '../../support/attacks/signatures.js';
import { TIMES } from '../../support/attacks/times.js';
import { TOKEN_SYNTAX } from '../../support/attacks/token-syntax.js';
import {
  ALL_ALGORITHMS,
  branchKey,
  courierKey,
  edgeKey,
  mailerKey,
  BASELINE,
  CANARY,
  CENSUS,
  CENSUS_ALIAS,
  type CensusOptions,
  HERALD,
  heraldKey,
  keyFor,
  NOW_SECONDS,
  POSTED,
  partnerKey,
  provingTrust,
  schedulerKey,
  startCensus,
  strangerKey,
  USER,
} from '../../support/services/census.js';
import { decodeClaims, decodeHeader } from '../../support/tokens/forge.js';
import { call } from '../../support/http/http.js';
import { createKey } from '../../support/keys/keys.js';
import { jwkOf, serveKeys, serveText, startKeyServer } from '../../support/keys/key-server.js';
import { rawRequest } from '../../support/services/middleware.js';
import { listenerOf, startHost } from '../../support/services/odd-hosts.js';
import type { Adapter } from '../../support/services/service.js';
import {
  DEEP_PRINTINGS,
  PRINTINGS,
  secretsOfKey,
  stringsIn,
  tellingSegments,
} from '../../support/observed/traces.js';

/** One request that was sent, and what must not be printed of it. */
export interface Told {
  readonly title: string;
  /** The code or status that was expected, and the one that came. */
  readonly expected: string | number;
  readonly answered: unknown;
  /** The whole answer, head and body. */
  readonly answer: string;
  readonly secrets: readonly string[];
  /** The verified name that the log may give, and the answer not: for whom the token was made. */
  readonly namedInLog?: unknown;
  /** Whether the exception filter still found the token on the request; undefined where none ran. */
  readonly isTokenOnRequest: boolean | undefined;
}

interface Case {
  readonly title: string;
  /** A code, or the status of an answer without one. */
  readonly code: string | number;
  readonly change?: AttemptParts;
  readonly common?: AttemptParts;
}

const adapter = process.argv[2] as Adapter;
/** Names that the configuration, a key server or any request may say are no secrets of a token. */
const KNOWN = [
  CENSUS,
  CENSUS_ALIAS,
  ...[...provingTrust.trustedIssuers, ...provingTrust.originators].map(({ issuer }) => issuer),
  ...[
    edgeKey,
    schedulerKey,
    partnerKey,
    branchKey,
    courierKey,
    mailerKey,
    heraldKey,
    ...ALL_ALGORITHMS.map(keyFor),
  ].map(({ keyId }) => keyId),
];
const TABLES = [TOKEN_SYNTAX, JOSE_HEADER, SIGNATURES, CLAIMS, TIMES, NAMES, BINDING, GRANTS];
const ROWS = TABLES.flat().filter(({ only }) => only === undefined || only === adapter);

const NO_REQUEST = {
  expected: '',
  answered: '',
  answer: '',
  secrets: [],
  isTokenOnRequest: undefined,
};

let tokenSent = '';
let grantSent = '';
let isTokenOnRequest: boolean | undefined;

function print(what: string, error: unknown): void {
  for (const [name, toText] of [...PRINTINGS, ...DEEP_PRINTINGS]) {
    console.log(`${what}, ${name}: ${toText(error)}`);
  }
  console.error(what, error);
  console.dir(error, { depth: Infinity, showHidden: true });
  new ConsoleLogger({ json: true, context: what }).error(error);
}

/** What a team writes that wants to know everything about its failures. */
@Catch()
class PrintingFilter extends BaseExceptionFilter {
  override catch(exception: unknown, host: ArgumentsHost): void {
    print('filtered', exception);
    const raw = rawRequest(host.switchToHttp().getRequest<object>());
    const { headers, rawHeaders, headersDistinct } = raw;
    const shown = inspect([headers, rawHeaders, headersDistinct, raw], {
      showHidden: true,
      depth: 4,
    });
    isTokenOnRequest = tellingSegments([tokenSent, grantSent]).some((segment) =>
      shown.includes(segment),
    );
    super.catch.call(this, exception, host); // answers, and logs what is unknown
  }
}

/** The longer texts of a token and of its parts, but for what is known without it. */
function secretsIn(token: string, known: readonly string[]): string[] {
  const parts = [decodeHeader, decodeClaims].flatMap((decode) => {
    try {
      return stringsIn(decode(token), false);
    } catch {
      return [];
    }
  });
  const isSecret = (text: string): boolean =>
    text.length > 12 && !known.some((name) => name.includes(text.trim()));
  return [...tellingSegments([token]), ...parts.filter(isSecret)];
}

async function send(port: number, { title, code, common, change }: Case): Promise<void> {
  const attempt = withParts(withParts(BASELINE, common), change);
  tokenSent = tokenFor(attempt, NOW_SECONDS);
  grantSent = attempt.grant ?? '';
  isTokenOnRequest = undefined;
  const request = toCall(attempt, tokenSent);
  const { JWT: _jwt, 'Txn-Token': _grant, 'TXN-TOKEN': _other, ...others } = request.headers ?? {};
  const requestLine = `${attempt.method} ${attempt.target}`;
  const known = [...KNOWN, requestLine, 'application/json', ...stringsIn(others, false)];
  const { status, code: answered = status, headers, text } = await call(port, request);
  const told: Told = {
    title,
    expected: code,
    answered,
    answer: JSON.stringify(headers) + text,
    secrets: [...secretsIn(tokenSent, known), ...secretsIn(grantSent, known)],
    namedInLog: code === 'audience_mismatch' ? decodeClaims(tokenSent)['aud'] : undefined,
    isTokenOnRequest,
  };
  process.send?.(told);
}

/** What a host does with a request before it hands it to the application. */
type Front = (request: IncomingMessage) => void | Promise<void>;

/** @param front undefined: the application serves by itself */
async function sendAll(
  cases: readonly Case[],
  options: CensusOptions['options'] = {},
  front?: Front,
): Promise<void> {
  const census = await startCensus({
    adapter,
    options: {
      observer: [
        new LoggingObserver({ successes: 'verbose' }),
        { observe: (event) => console.log('observed', inspect(event), event) },
      ],
      ...options,
    },
    service: {
      logger: new ConsoleLogger(),
      configure: (app) => app.useGlobalFilters(new PrintingFilter(app.getHttpAdapter())),
    },
  });
  const serve = listenerOf(census.app, adapter);
  const host =
    front &&
    (await startHost((request, response) => {
      void Promise.resolve(front(request)).then(() => serve(request, response));
    }));
  for (const one of cases) await send((host ?? census).port, one);
  await host?.close();
  await census.close();
}

const fails = (error: unknown) => () => {
  throw error;
};
const rejects = (error: unknown) => async () => await Promise.reject(error as Error);

await sendAll([
  { title: 'a good request', code: 200 },
  { title: 'a good request with a body', code: 201, change: POSTED },
  ...ROWS,
  { title: 'a handler that fails', code: 500, change: { target: '/api/thing/failing' } },
  { title: 'a job', code: 'context_unsupported', change: { target: '/api/outcome/queue' } },
  { title: 'RPC', code: 500, change: { target: '/api/outcome/rpc' } },
  { title: 'a route that is none', code: 404, change: { target: '/api/nothing' } },
  {
    title: 'a body that is no JSON, refused before the guard',
    code: 400,
    change: { ...POSTED, body: '{"a":' },
  },
]);

/** As long as the longest list that a server of Node keeps: it may be cut. */
const padList: Front = ({ rawHeaders }) =>
  void rawHeaders.push(...Array.from({ length: 2000 }, () => ''));
const readBody: Front = async (request) => void (await buffer(request));
const octets = { ...POSTED, contentType: 'application/octet-stream' };
await sendAll(
  [{ title: 'a list that may be cut', code: 'headers_unverifiable', change: octets }],
  {},
  padList,
);
await sendAll(
  [{ title: 'a body that was read', code: 'body_consumed', change: octets }],
  {},
  readBody,
);
await sendAll(
  [{ title: 'a good request through a host', code: 201, change: octets }],
  {},
  () => undefined,
);

const used = { claims: { jti: 'canary-of-a-token-id' } };
await sendAll([
  { title: 'a token id', code: 200, change: used },
  { title: 'a token id again', code: 'token_replayed', change: used },
]);

// What a port throws is its owner's: it is printed as it is, and must add nothing of the token.
const trouble = [new Error('trouble'), new TypeError('trouble'), 'trouble', undefined, null];
for (const [at, error] of trouble.entries()) {
  const code = 'replay_store_unavailable';
  await sendAll([{ title: `store ${at}`, code }], { replayStore: { recordUse: fails(error) } });
  await sendAll([{ title: `store ${at}, later`, code }], {
    replayStore: { recordUse: rejects(error) },
  });
  await sendAll([{ title: `finder ${at}`, code: 'key_unavailable' }], {
    trustedIssuers: { find: rejects(error) },
  });
  await sendAll([{ title: `resolver ${at}`, code: 500 }], {
    userResolver: { resolveUser: rejects(error) },
  });
  let isBroken = false;
  const now = (): number => (isBroken ? fails(error)() : NOW_SECONDS * 1000);
  await sendAll([{ title: `clock ${at}`, code: 500 }], {
    now,
    trustedIssuers: {
      find: (issuer) => {
        isBroken = true;
        return { issuer, publicKey: heraldKey.publicPem };
      },
    },
  });
}
await sendAll([{ title: 'nobody', code: 'subject_unknown' }], {
  userResolver: { resolveUser: () => null },
});
await sendAll([{ title: 'a finder that knows nobody', code: 'issuer_unknown' }], {
  trustedIssuers: { find: () => undefined },
});

// Key servers: what they say is not this service's, and not printed either.
const privateJwk = { ...strangerKey.privateKey.export({ format: 'jwk' }), kid: 'canary-of-a-kid' };
const replies = [
  serveText(500, 'canary-of-a-reply'),
  serveText(200, '<html>canary-of-a-reply</html>'),
  serveText(200, JSON.stringify({ keys: 'canary-of-a-reply' })),
  serveText(302, 'canary-of-a-reply', { location: 'http://127.0.0.1:9/canary-of-a-reply' }),
  serveKeys([privateJwk, { kty: 'canary-of-a-type', k: 'canary-of-a-secret' }]),
];
for (const [at, respond] of replies.entries()) {
  const keys = await startKeyServer(respond);
  await sendAll([{ title: `key server ${at}`, code: 'key_unavailable' }], {
    trustedIssuers: [{ issuer: HERALD, jwksUri: keys.url }],
  });
  await keys.close();
}
const published = createKey();
KNOWN.push(published.keyId);
const keyServer = await startKeyServer(serveKeys([jwkOf(published), privateJwk]));
await sendAll(
  [
    { title: 'a key that is published', code: 200, change: { key: published } },
    { title: 'a key that is not', code: 'key_unknown', change: { key: strangerKey } },
  ],
  { trustedIssuers: [{ issuer: HERALD, jwksUri: keyServer.url }] },
);
await keyServer.close();

// Mistakes in the configuration, and calls that are not signed.
const broken = heraldKey.privatePem.replaceAll('PRIVATE', 'ENCRYPTED PRIVATE');
const privateAsPublic = heraldKey.privateKey.export({ format: 'jwk' });
const failing = async (what: string, options: unknown, request?: object): Promise<void> => {
  let answered = 'accepted';
  try {
    const service = await createServiceAuth(options as never);
    await service.sign(request as never);
  } catch (error) {
    print(what, error);
    answered = error instanceof ServiceAuthError ? error.code : String(error);
  }
  process.send?.({ ...NO_REQUEST, title: what, expected: what, answered } satisfies Told);
};
// Names are shown where they are wrong; what is in a key, a password or an unknown option is not.
await failing('config_error', {
  issuer: 'a-name-and-no-uri',
  audience: ['another-name'],
  signingKey: { privateKey: broken, keyId: 'canary-of-a-kid\n' },
  trustedIssuers: [
    { issuer: HERALD, publicKey: heraldKey.privatePem },
    { issuer: CENSUS, publicKey: privateAsPublic },
    { issuer: CENSUS_ALIAS, keys: [heraldKey.privatePem, broken] },
    { issuer: HERALD, jwksUri: 'https://canary:canary-of-a-password@herald.service/' },
  ],
  targets: [{ baseUrl: 'https://canary:canary-of-a-password@herald.service/' }],
});
const signing = {
  issuer: HERALD,
  signingKey: { privateKey: heraldKey.privatePem },
  targets: [{ baseUrl: CENSUS }],
};
const outgoing = {
  method: 'POST',
  url: CENSUS,
  headers: {},
  body: Buffer.from('canary-of-a-body'),
};
await failing('subject_invalid', signing, { ...outgoing, subject: 'canary-of-a-subject' });
await failing('target_unknown', signing, {
  ...outgoing,
  url: 'https://x.service/canary-of-a-path',
});
const twice = { 'content-type': ['canary-of-a-header', 'canary-of-a-header'] };
await failing('header_unsignable', signing, { ...outgoing, headers: twice });

// For comparison: what is printed where nothing is kept secret.
print('shown', new Error('failed', { cause: { headers: { jwt: 'shown-because-nobody-hid-it' } } }));

const ofKeys = [heraldKey, strangerKey].flatMap((key) => secretsOfKey(key));
const secrets = [CANARY, USER, 'canary-body', ...ofKeys];
process.send?.({ ...NO_REQUEST, title: 'at any time', secrets } satisfies Told);
process.disconnect?.();
