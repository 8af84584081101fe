import {
  ForbiddenException,
  HttpException,
  PayloadTooLargeException,
  ServiceUnavailableException,
  UnauthorizedException,
  UnsupportedMediaTypeException,
} from '@nestjs/common';
import {
  refusalBody,
  type ServiceAuthUnavailableError,
  type ServiceTokenRefusedError,
} from '../../core/index.js';

/** The exception that Nest answers with: its usual error shape plus the code. The answer does not show the cause. */
export function toHttpException(
  error: ServiceTokenRefusedError | ServiceAuthUnavailableError,
): HttpException {
  const body = refusalBody(error);
  const options = { cause: error };
  switch (body.statusCode) {
    case 401:
      return new UnauthorizedException(body, options);
    case 403:
      return new ForbiddenException(body, options);
    case 413:
      return new PayloadTooLargeException(body, options);
    case 415:
      return new UnsupportedMediaTypeException(body, options);
    case 503:
      return new ServiceUnavailableException(body, options);
    default:
      return new HttpException({ ...body }, body.statusCode, options);
  }
}
