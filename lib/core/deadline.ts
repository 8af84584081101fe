/**
 * What `work` gives, unless it takes longer. What comes later is ignored, be it a result or a failure.
 *
 * The event loop may have been busy all the while with the answer in its socket, so that sockets are read
 * once more before the time is up.
 *
 * @param late gives the error where it takes longer
 * @throws whatever `work` fails with
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
