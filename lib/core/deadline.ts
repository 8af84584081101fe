/**
 * Resolves with the result of `work`, or rejects if it takes too long. A later result or failure is ignored.
 *
 * A busy event loop may have left the answer unread in its socket. So sockets are read once more before the time is
 * up.
 *
 * @param late creates the error for work that takes too long
 * @throws whatever `work` rejects with
 */
export async function withinDeadline<T>(
  milliseconds: number,
  work: Promise<T>,
  late = (): Error => new Error(`no answer within ${milliseconds} ms`),
): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => reject(late())), milliseconds);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
