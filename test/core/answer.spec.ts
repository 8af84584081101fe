import {
  answerOf,
  createServiceAuth,
  REFUSALS,
  type RefusalCode,
  ServiceAuthConfigError,
  ServiceAuthUnavailableError,
  ServiceAuthUsageError,
  ServiceSigningError,
  ServiceTokenRefusedError,
} from 'nestjs-service-auth/core';
import { createKey } from '../support/keys/keys.js';
import { CENSUS, createPeers, outgoing, received, signed } from '../support/services/peers.js';

type RefusedCode = ConstructorParameters<typeof ServiceTokenRefusedError>[0];
const CODES = Object.keys(REFUSALS) as RefusalCode[];
const DETAIL = 'canary-detail';

const errorOf = (code: RefusalCode) =>
  REFUSALS[code].status === 503
    ? new ServiceAuthUnavailableError(code as 'key_unavailable', { detail: DETAIL })
    : new ServiceTokenRefusedError(code as RefusedCode, { detail: DETAIL });

describe('answerOf(): the answer to a refused request', () => {
  it.each(CODES)('%s has its status, code and sentence, and no detail', (code) => {
    const answer = answerOf(errorOf(code), { realm: CENSUS });
    const { status, message } = REFUSALS[code];
    expect(answer?.status).toBe(status);
    expect(JSON.parse(answer?.body ?? '')).toEqual({
      statusCode: status,
      message,
      error: expect.stringMatching(/^[A-Z][A-Za-z ]+$/) as string,
      code,
    });
    expect(JSON.stringify(answer)).not.toContain(DETAIL);
    expect(answer?.headers).toEqual({
      'Content-Type': 'application/json; charset=utf-8',
      Vary: 'JWT',
      'Cache-Control': 'private',
      ...(status === 401 && {
        'WWW-Authenticate':
          `JWT realm="${CENSUS}"` + (code === 'token_missing' ? '' : `, error="${code}"`),
      }),
      ...(status === 503 && { 'Retry-After': '1' }),
    });
  });

  it.each([
    ['over the limit', new ServiceTokenRefusedError('body_unverifiable', { status: 413 }), 413],
    ['that cannot be kept', new ServiceAuthUnavailableError('body_unverifiable'), 503],
  ])('closes the connection of a body %s, but not over HTTP/2', (_title, error, status) => {
    expect(answerOf(error)).toMatchObject({ status, headers: { Connection: 'close' } });
    expect(answerOf(error, { httpVersionMajor: 2 })?.headers).not.toHaveProperty('Connection');
    expect(answerOf(new ServiceTokenRefusedError('body_unverifiable'))?.headers).not.toHaveProperty(
      'Connection',
    );
  });

  it('rounds Retry-After up to seconds', () => {
    const error = new ServiceAuthUnavailableError('key_unavailable', { retryAfterSeconds: 2.1 });
    expect(answerOf(error)?.headers['Retry-After']).toBe('3');
  });

  it('names the service that refused, whoever else is in the process', async () => {
    const key = createKey();
    const { herald, census } = await createPeers(key);
    const trustedIssuers = [{ issuer: CENSUS, publicKey: key.publicPem }];
    const other = await createServiceAuth({ issuer: 'https://other.service/', trustedIssuers });
    const request = received(outgoing(), await signed(herald, outgoing()));
    const answer = async (service: typeof census) =>
      answerOf(await service.verify(request).catch((error: unknown) => error));
    expect(await answer(census)).toBeUndefined();
    expect((await answer(census))?.headers['WWW-Authenticate']).toBe(
      `JWT realm="${CENSUS}", error="token_replayed"`,
    );
    expect((await answer(other))?.headers['WWW-Authenticate']).toBe(
      'JWT realm="https://other.service/", error="issuer_unknown"',
    );
    for (const service of [herald, census, other]) service.close();
  });

  it('keeps a refusal of the application that is frozen', async () => {
    const key = createKey();
    const { herald, census } = await createPeers(key);
    const request = received(outgoing(), await signed(herald, outgoing()));
    const refusal = Object.freeze(new ServiceTokenRefusedError('subject_unknown'));
    const verification = census.beginVerification();
    await verification.prove(request);
    verification.failed(refusal);
    expect(answerOf(refusal)?.status).toBe(403);
    for (const service of [herald, census]) service.close();
  });

  it.each([
    ['no realm', {}, 'JWT error="key_unknown"'],
    ['a realm with a quote', { realm: 'a"b\\' }, 'JWT realm="a\\"b\\\\", error="key_unknown"'],
  ])('has a challenge with %s', (_title, options, challenge) => {
    const error = new ServiceTokenRefusedError('key_unknown');
    expect(answerOf(error, options)?.headers['WWW-Authenticate']).toBe(challenge);
    const missing = new ServiceTokenRefusedError('token_missing');
    expect(answerOf(missing)?.headers['WWW-Authenticate']).toBe('JWT');
  });

  it.each([
    [400, 'Error'],
    [415, 'Unsupported Media Type'],
    [599, 'Error'],
  ])('has the status %d of the application, and its name', (status, error) => {
    const refusal = new ServiceTokenRefusedError('subject_unknown', { status });
    expect(JSON.parse(answerOf(refusal)?.body ?? '')).toMatchObject({ statusCode: status, error });
  });

  it.each([200, 204, 302, 0, 999, Number.NaN])(
    'TF-61 is no success with the status %d',
    (status) => {
      const error = new ServiceTokenRefusedError('subject_unknown', { status });
      expect(answerOf(error)).toMatchObject({ status: 403 });
      expect(answerOf(error)?.body).toContain('"statusCode":403');
    },
  );

  it.each<[string, unknown]>([
    ['another error', new Error('away')],
    ['a mistake in the use of the library', new ServiceAuthUsageError('no')],
    ['a mistake in the configuration', new ServiceAuthConfigError(['no'])],
    ['a call that was not signed', new ServiceSigningError('target_unknown')],
    [
      'what looks like a refusal',
      { name: 'ServiceTokenRefusedError', code: 'key_unknown', status: 401 },
    ],
    ['a status', 401],
    ['undefined', undefined],
    ['null', null],
  ])('TF-61 is none for %s', (_title, error) => {
    expect(answerOf(error)).toBeUndefined();
  });
});
