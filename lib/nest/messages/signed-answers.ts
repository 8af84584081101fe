import { Observable } from 'rxjs';
import type { AnswerParts } from './message-delivery.js';

/** What is sent instead of a value that a handler answers: the `response` of a packet of Nest. */
export interface AnswerEnvelope {
  readonly JWT: string;
  /** The JSON text of the value, or of the error. */
  readonly text?: string;
}

/** A part of an answer that waits for what comes after it. */
interface Waiting {
  readonly text: string;
}

/**
 * Signs each value of a stream, its error and its end, in order. A value whose end follows in the same turn of the event
 * loop carries that end, so that the usual answer is one part; any other end is a part of its own.
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
  private waiting: Waiting | undefined;
  private sending: Promise<void> = Promise.resolve();
  private isOver = false;

  constructor(
    private readonly answers: AnswerParts,
    private readonly sink: Sink,
  ) {}

  value(value: unknown): void {
    this.flush();
    const text = this.write(value);
    if (text === undefined) return;
    const waiting = { text };
    this.waiting = waiting;
    queueMicrotask(() => {
      if (this.waiting === waiting) this.flush();
    });
  }

  error(error: unknown): void {
    this.flush();
    const text = this.write(error);
    if (text === undefined) return;
    this.send({ text, isError: true, isEnd: true });
    this.finish();
  }

  end(): void {
    if (this.isOver) return;
    const { waiting } = this;
    this.waiting = undefined;
    this.send({ text: waiting?.text, isError: false, isEnd: true });
    this.finish();
  }

  /** Undefined for a value that no JSON text has: then the answer ends with an error. */
  private write(value: unknown): string | undefined {
    if (this.isOver) return undefined;
    try {
      return textOf(value);
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

/** As Nest itself writes it: what a caller that wants no signature gets. Nest leaves out what is undefined; here it is null. */
function textOf(value: unknown): string {
  return JSON.stringify(value) ?? 'null';
}
