/** Whether a value is still to come, as `await` tells it: from whatever has a `then`. */
export function isPending<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'then' in value &&
    typeof value.then === 'function'
  );
}
