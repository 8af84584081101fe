import { BadGatewayException, Injectable, ServiceUnavailableException } from '@nestjs/common';

const MOST_WAITING = 20;

/** Lets one story run at a time, so that what the services report belongs to it. */
@Injectable()
export class Turnstile {
  private waiting = 0;
  private last: Promise<unknown> = Promise.resolve();

  /**
   * @throws ServiceUnavailableException when too many wait already
   * @throws BadGatewayException when a service cannot be reached
   */
  async pass<T>(run: () => Promise<T>): Promise<T> {
    if (this.waiting >= MOST_WAITING) throw new ServiceUnavailableException('Too many at once.');
    this.waiting += 1;
    const turn = this.last.then(run).catch(assertReached);
    this.last = turn.catch(() => {}); // The caller gets the error below.
    try {
      return await turn;
    } finally {
      this.waiting -= 1;
    }
  }
}

/** `fetch` throws a TypeError when nobody answers, and a TimeoutError when that takes too long. */
function assertReached(cause: unknown): never {
  if (cause instanceof Error && ['TypeError', 'TimeoutError'].includes(cause.name)) {
    throw new BadGatewayException('A service could not be reached.', { cause });
  }
  throw cause;
}
