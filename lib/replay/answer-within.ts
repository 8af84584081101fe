/**
 * The answer, unless it takes longer. One that comes later is ignored, and so is its failure.
 *
 * The event loop may have been busy all the while with the answer in its socket, so that sockets are read
 * once more before the time is up.
 */
export async function answerWithin<T>(milliseconds: number, answer: Promise<T>): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => {
      setImmediate(() => reject(new Error(`no answer within ${milliseconds} ms`)));
    }, milliseconds);
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
