/** The members that `setupCache()` of axios-cache-interceptor adds to an axios instance. */
interface Caching {
  readonly storage: { remove(id: string, config: object): unknown };
  readonly waiting: Map<string, { reject(error: unknown): void }>;
}

/**
 * Rejects the calls that wait in axios-cache-interceptor for the answer to a refused call. That library handles only
 * axios's own errors: otherwise every later call with the same key would wait forever.
 */
export function refuseWaiting(instance: object, config: object, error: unknown): void {
  const id: unknown = Reflect.get(config, 'id');
  if (typeof id !== 'string' || !isCaching(instance)) return;
  const waiting = instance.waiting.get(id);
  if (waiting === undefined) return;
  instance.waiting.delete(id);
  waiting.reject(error);
  // If this fails, the next call finds an entry without a pending request, and is sent.
  Promise.resolve(instance.storage.remove(id, config)).catch(() => undefined);
}

function isCaching(instance: object): instance is Caching {
  const storage: unknown = Reflect.get(instance, 'storage');
  const hasStorage =
    typeof storage === 'object' &&
    storage !== null &&
    typeof Reflect.get(storage, 'remove') === 'function';
  return hasStorage && Reflect.get(instance, 'waiting') instanceof Map;
}
