import { REFUSALS, type RefusalCode } from 'nestjs-service-auth';
import type { Attempt } from './attempt.js';
import { CANARY, CENSUS, USER } from '../services/census.js';
import { decodeClaims, decodeHeader } from '../tokens/forge.js';
import type { Answer } from '../http/http.js';
import { expectVerdict } from '../http/verdict.js';

/** What every answer to a guarded request tells caches. */
function expectPrivate(answer: Answer): void {
  expect(answer.headers.vary?.split(/\s*,\s*/)).toContain('JWT');
  expect(answer.headers['cache-control']).toBe('private');
}

export function expectAccepted(answer: Answer): void {
  expectVerdict(answer, { status: answer.status === 201 ? 201 : 200, code: undefined });
  expectPrivate(answer);
}

export interface Refused {
  readonly code: RefusalCode;
  readonly status?: number;
}

/** The whole answer of protocol section 5: status, body, headers, and nothing else. */
export function expectRefused(answer: Answer, { code, status }: Refused): void {
  const { message } = REFUSALS[code];
  const expectedStatus = status ?? REFUSALS[code].status;
  expectVerdict(answer, { status: expectedStatus, code });
  expect({ status: answer.status, body: answer.json ?? answer.text }).toEqual({
    status: expectedStatus,
    body: { statusCode: expectedStatus, message, error: expect.any(String) as string, code },
  });
  expect(answer.headers['www-authenticate']).toBe(challengeOf(code, expectedStatus));
  expect(answer.headers['retry-after']).toEqual(
    expectedStatus === 503 ? expect.stringMatching(/^[1-9]\d*$/) : undefined,
  );
  expectPrivate(answer);
}

function challengeOf(code: RefusalCode, status: number): string | undefined {
  if (status !== 401) return undefined;
  const realm = `JWT realm="${CENSUS}"`;
  return code === 'token_missing' ? realm : `${realm}, error="${code}"`;
}

/** What a refusal must not repeat: anything of the token, of the key, of the program. */
export function secretsOf(attempt: Attempt, token: string): string[] {
  const texts = [token, attempt.grant ?? ''];
  const segments = texts.flatMap((text) => text.split('.')).filter(({ length }) => length > 20);
  return [
    ...segments,
    ...texts.flatMap((text) => readable(() => decodeHeader(text))),
    ...texts.flatMap((text) => readable(() => decodeClaims(text))),
    CANARY,
    USER,
    attempt.key.keyId,
    'canary-body',
    'node_modules',
    'node:internal',
    '.ts:',
    '.js:',
  ];
}

/** The longer strings among the values of a part of a token, where it can be read at all. */
function readable(decode: () => Record<string, unknown>): string[] {
  try {
    const isTelling = (value: unknown): value is string =>
      typeof value === 'string' && value.length > 12 && !CENSUS.includes(value);
    return Object.values(decode()).filter(isTelling);
  } catch {
    return [];
  }
}

export function expectNoSecrets(text: string, secrets: readonly string[]): void {
  expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
}
