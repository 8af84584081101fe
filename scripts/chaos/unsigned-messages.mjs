/** @typedef {{ content: string, headers?: Record<string, unknown> }} Unsigned */

/**
 * What somebody without a key sends to the queue of a service: each of it goes to the dead-letter queue.
 *
 * @type {readonly ((token: string) => Unsigned)[]} of the token of another message
 */
export const UNSIGNED = [
  () => ({ content: '{"pattern":"work","data":1}' }),
  (token) => ({ content: '{"pattern":"work","data":"changed"}', headers: { JWT: token } }),
  () => ({ content: '{"pattern":"work","data":1}', headers: { JWT: 1 } }),
  () => ({ content: '{"pattern":"work","data":1,"id":"nobody-waits"}' }),
  () => ({ content: '{"pattern":"unknown","data":1}' }),
  () => ({ content: 'no JSON' }),
  () => ({ content: 'null' }),
];
