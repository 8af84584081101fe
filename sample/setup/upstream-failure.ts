import {
  BadGatewayException,
  ForbiddenException,
  type HttpException,
  NotFoundException,
} from '@nestjs/common';
import { isAxiosError } from 'axios';

/**
 * What our caller is told when a service that we called did not deliver: its 403 and 404 are about
 * the caller's wish and are passed on; anything else is trouble between the two of us, so 502.
 *
 * @throws the error itself when it is not about the call
 */
export function toHttpException(error: unknown, service: string): HttpException {
  if (!isAxiosError(error)) throw error;
  const options = { cause: error };
  switch (error.response?.status) {
    case 403:
      return new ForbiddenException(`${service} does not allow this user to do that.`, options);
    case 404:
      return new NotFoundException(`${service} does not know that.`, options);
    default:
      return new BadGatewayException(`${service} did not answer as it should.`, options);
  }
}
