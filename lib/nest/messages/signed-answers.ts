import { Observable } from 'rxjs';
import type { AnswerParts } from './message-delivery.js';

/** What is sent instead of a value that a handler answers: the `response` of a packet of Nest. */
export interface AnswerEnvelope {
  readonly JWT: string;
  /** The JSON text of the value, or of the error. Without it, the value is `undefined`, or at the end there is none. */
  readonly text?: string;
}

/** A value that was written, and may wait for what comes after it. */
interface Written {
  /** Undefined for `undefined`, which JSON does not have. */
  readonly text: string | undefined;
}

/**
 * Signs each value of a stream, its error and its end, in order. A value whose end follows in the same turn of the event
 * loop carries that end, so that the usual answer is one part; any other end is a part of its own. As in the packets of Nest,
 * a value of `undefined` that carries the end is none.
 *
 * @param answers is asked when the first of them arrives; undefined where the caller gets them as they are
 */
export function signAnswers(
  source: Observable<unknown>,
  answers: () => AnswerParts | undefined,
): Observable<unknown> {
  return new Observable((subscriber) => {
    let queue: AnswerQueue | undefined;
    const chosen = (): AnswerQueue => {
      const parts = queue ? undefined : answers();
      return (queue ??= parts ? new PartQueue(parts, subscriber) : unsigned(subscriber));
    };
    const subscription = source.subscribe({
      next: (value) => chosen().value(value),
      error: (error: unknown) => chosen().error(error),
      complete: () => chosen().end(),
    });
    return () => subscription.unsubscribe();
  });
}

/** In the words of Nest's own filter. */
const UNWRITABLE = { status: 'error', message: 'Internal server error' };

type Part = Parameters<AnswerParts['sign']>[0];

interface Sink {
  next(value: unknown): void;
  error(error: unknown): void;
  complete(): void;
}

/** What takes the notifications of a stream. */
interface AnswerQueue {
  value(value: unknown): void;
  error(error: unknown): void;
  end(): void;
}

function unsigned(sink: Sink): AnswerQueue {
  return {
    value: (value) => sink.next(value),
    error: (error) => sink.error(error),
    end: () => sink.complete(),
  };
}

class PartQueue implements AnswerQueue {
  private waiting: Written | undefined;
  private sending: Promise<void> = Promise.resolve();
  private isOver = false;

  constructor(
    private readonly answers: AnswerParts,
    private readonly sink: Sink,
  ) {}

  value(value: unknown): void {
    this.flush();
    const waiting = this.write(value);
    if (waiting === undefined) return;
    this.waiting = waiting;
    queueMicrotask(() => {
      if (this.waiting === waiting) this.flush();
    });
  }

  error(error: unknown): void {
    this.flush();
    const written = this.write(error);
    if (written === undefined) return;
    this.send({ text: written.text ?? 'null', isError: true, isEnd: true });
    this.finish();
  }

  end(): void {
    if (this.isOver) return;
    const { waiting } = this;
    this.waiting = undefined;
    this.send({ text: waiting?.text, isError: false, isEnd: true });
    this.finish();
  }

  /** As Nest itself writes it. Undefined for a value that cannot be written: then the answer ends with an error. */
  private write(value: unknown): Written | undefined {
    if (this.isOver) return undefined;
    try {
      return { text: JSON.stringify(value) as string | undefined };
    } catch {
      this.error(UNWRITABLE);
      return undefined;
    }
  }

  private flush(): void {
    const { waiting } = this;
    this.waiting = undefined;
    if (waiting) this.send({ text: waiting.text, isError: false, isEnd: false });
  }

  private send(part: Part): void {
    this.sending = this.sending.then(async () => this.sink.next(await this.answers.sign(part)));
    // At once: the next part may be long in coming, and a rejection that nobody awaits ends the process.
    this.sending.catch((error: unknown) => this.sink.error(error));
  }

  private finish(): void {
    this.isOver = true;
    this.sending.then(
      () => this.sink.complete(),
      (error: unknown) => this.sink.error(error),
    );
  }
}
