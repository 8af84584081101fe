import type { ServiceIdentity } from '../core/index.js';
import { createSlot } from './slot.js';

/** What this library knows about one request being served. */
export interface RequestState {
  /** The verification, once a guard has begun it: a second guard waits for the same one. */
  verification?: Promise<ServiceIdentity | undefined>;
  /** Who verified, so that one application never takes the word of another. */
  verifier?: object;
  /** What was proved, once it is. */
  identity?: ServiceIdentity | undefined;
  /** It has been answered: nobody is served any more, and no call is made for its user. */
  isOver?: boolean;
}

const STATE = createSlot<RequestState>();

/**
 * The state of a request. It belongs to Node's own request object, so that nothing a client sends and no
 * property that other code sets can be taken for it.
 */
export function requestStateOf(request: object): RequestState {
  const raw = rawRequestOf(request);
  const known = STATE.get(raw);
  if (known) return known;
  const state: RequestState = {};
  STATE.set(raw, state);
  return state;
}

/** Whether somebody has asked for the state of a request before. */
export function isKnownRequest(raw: object): boolean {
  return STATE.get(raw) !== undefined;
}

/** Fastify wraps Node's request, Express extends it. */
export function rawRequestOf(request: object): object {
  const raw: unknown = 'raw' in request ? request.raw : undefined;
  return typeof raw === 'object' && raw !== null ? raw : request;
}
