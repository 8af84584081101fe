import { ServiceTokenRefusedError } from '../core/index.js';
import { toHttpException } from './http/http-exception.js';

/**
 * Refuses a request of a type the guard does not know, in the words of its kind. What
 * `switchToHttp()` gives there is a payload of the sender's choosing, so it is never looked at.
 */
export async function refuseUnsupported(type: string): Promise<never> {
  const refusal = new ServiceTokenRefusedError('context_unsupported', { detail: type });
  const { code, message } = refusal;
  // The packages are optional: they are there whenever a context of their type is.
  if (type === 'rpc') {
    const { RpcException } = await import('@nestjs/microservices');
    throw new RpcException({ status: 'error', code, message });
  }
  if (type === 'ws') {
    const { WsException } = await import('@nestjs/websockets');
    throw new WsException({ status: 'error', code, message });
  }
  throw toHttpException(refusal);
}
