import {
  ForbiddenException,
  PayloadTooLargeException,
  ServiceUnavailableException,
  UnauthorizedException,
  UnsupportedMediaTypeException,
} from '@nestjs/common';
import { ServiceAuthUnavailableError, ServiceTokenRefusedError } from 'nestjs-service-auth';
import { toHttpException } from '../../lib/nest/http/http-exception.js';

const refused = (
  code: 'token_missing' | 'subject_missing' | 'body_unverifiable',
  status?: number,
) => new ServiceTokenRefusedError(code, { detail: 'canary', status });

/** What filters of an application catch, and what is answered where there is none. */
describe('the exception of a refusal', () => {
  it.each([
    ['Unauthorized', 401, UnauthorizedException, refused('token_missing')],
    ['Forbidden', 403, ForbiddenException, refused('subject_missing')],
    ['Payload Too Large', 413, PayloadTooLargeException, refused('body_unverifiable', 413)],
    ['Unsupported Media Type', 415, UnsupportedMediaTypeException, refused('body_unverifiable')],
    [
      'Service Unavailable',
      503,
      ServiceUnavailableException,
      new ServiceAuthUnavailableError('key_unavailable', { detail: 'canary' }),
    ],
  ])("is Nest's own: %s, %i", (name, statusCode, type, error) => {
    const exception = toHttpException(error);
    const { code, message } = error;
    expect(exception).toBeInstanceOf(type);
    expect(exception.getStatus()).toBe(statusCode);
    expect(exception.getResponse()).toEqual({ statusCode, message, error: name, code });
    expect(exception.cause).toBe(error);
  });
});
