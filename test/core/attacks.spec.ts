import {
  createServiceAuth,
  type IncomingRequest,
  type RoutePolicy,
  type ServiceAuth,
  ServiceTokenRefusedError,
} from 'nestjs-service-auth/core';
import { stoppedStore } from '../support/clocks/clocks.js';
import { GOOD_GRANTS, GRANTS } from '../support/attacks/grants.js';
import { BINDING, GOOD_BINDING } from '../support/attacks/binding.js';
import { CLAIMS, GOOD_CLAIMS } from '../support/attacks/claims.js';
import { CONTENT, GOOD_CONTENT } from '../support/attacks/content.js';
import { GOOD_HEADERS, JOSE_HEADER } from '../support/attacks/jose-header.js';
import { NAMES } from '../support/attacks/names.js';
import { GOOD_SIGNATURES, SIGNATURES } from '../support/attacks/signatures.js';
import { GOOD_TIMES, TIMES } from '../support/attacks/times.js';
import { TOKEN_SYNTAX } from '../support/attacks/token-syntax.js';
import {
  type Attempt,
  type AttemptParts,
  toCall,
  tokenFor,
  withParts,
} from '../support/attacks/attempt.js';
import {
  BASELINE,
  CENSUS,
  CENSUS_ALIAS,
  censusKey,
  HERALD,
  NOW_SECONDS,
  SCRIBE,
  provingTrust,
} from '../support/services/census.js';
import { PROVED_POLICIES } from '../support/services/proved-routes.js';

const ROWS = [
  ...TOKEN_SYNTAX,
  ...JOSE_HEADER,
  ...SIGNATURES,
  ...CLAIMS,
  ...TIMES,
  ...NAMES,
  // Here bodies are bytes that are there already.
  ...BINDING.filter(({ code }) => code !== 'body_unverifiable'),
  ...CONTENT,
  ...GRANTS,
];
const GOOD = [
  ...GOOD_SIGNATURES,
  ...GOOD_HEADERS,
  ...GOOD_CLAIMS,
  ...GOOD_TIMES,
  ...GOOD_BINDING,
  ...GOOD_CONTENT,
  ...GOOD_GRANTS,
];

/** What the routes of the service over HTTP ask, by the end of their target. */
const POLICIES: Record<string, RoutePolicy> = {
  '/for-user': { subjectRequired: true },
  '/for-scribe': { allowedIssuers: [new Set([SCRIBE])] },
  ...PROVED_POLICIES,
};

/** The attempt as Node would hand it over: header values are trimmed by its parser. */
function received(attempt: Attempt): IncomingRequest {
  const {
    method = 'GET',
    target,
    headers = {},
    body,
  } = toCall(attempt, tokenFor(attempt, NOW_SECONDS));
  const rawHeaders = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().flatMap((each) => [name, String(each).replace(/^[ \t]+|[ \t]+$/g, '')]),
  );
  return { method, target, rawHeaders, body: Buffer.from(body ?? '') };
}

/** The tables of the catalogue without any HTTP: what the core alone says to them. */
describe('the verifier by itself', () => {
  let census: ServiceAuth;
  beforeAll(async () => {
    census = await createServiceAuth({
      issuer: CENSUS,
      audience: [CENSUS_ALIAS],
      signingKey: { privateKey: censusKey.privatePem },
      targets: [{ baseUrl: HERALD }],
      ...provingTrust,
      now: () => NOW_SECONDS * 1000,
      replayStore: stoppedStore(),
    });
  });
  afterAll(() => census.close());

  const verdict = async (parts: AttemptParts): Promise<string> => {
    const attempt = withParts(BASELINE, parts);
    const request = received(attempt);
    const policy = Object.entries(POLICIES).find(([end]) => request.target.endsWith(end))?.[1];
    try {
      await census.verify(request, policy);
      return 'accepted';
    } catch (error) {
      if (error instanceof ServiceTokenRefusedError) return error.code;
      throw error;
    }
  };

  it.each(ROWS)('$title: $code', async ({ common = {}, change, code }) => {
    expect(await verdict(common)).toBe('accepted');
    expect(await verdict(withParts(withParts(BASELINE, common), change))).toBe(code);
  });

  it.each(GOOD)('accepts $title', async ({ change }) => {
    expect(await verdict(change)).toBe('accepted');
  });
});
