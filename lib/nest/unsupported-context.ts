import { ServiceTokenRefusedError } from '../core/index.js';
import { toHttpException } from './http/http-exception.js';

/**
 * Refuses a request of a type that the guard does not know, with the exception of that type. `switchToHttp()` would
 * return a payload that the sender chose, so it is never read.
 */
export async function refuseUnsupported(type: string): Promise<never> {
  const refusal = new ServiceTokenRefusedError('context_unsupported', { detail: type });
  const { code, message } = refusal;
  // The packages are optional. They are installed if a context of their type exists.
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
