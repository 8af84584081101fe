import { Observable } from 'rxjs';
import { writeMessageText } from '../../core/index.js';
import type { AnswerParts } from './message-delivery.js';

/** What is sent in the place of a value that a handler answers: the `response` of a packet of Nest. */
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
 */
export function signAnswers(
  source: Observable<unknown>,
  answers: AnswerParts,
): Observable<unknown> {
  return new Observable((subscriber) => {
    const queue = new PartQueue(answers, subscriber);
    const subscription = source.subscribe({
      next: (value) => queue.value(value),
      error: (error: unknown) => queue.error(error),
      complete: () => queue.end(),
    });
    return () => subscription.unsubscribe();
  });
}

type Part = Parameters<AnswerParts['sign']>[0];

interface Sink {
  next(value: unknown): void;
  error(error: unknown): void;
  complete(): void;
}

class PartQueue {
  private waiting: Waiting | undefined;
  private sending: Promise<void> = Promise.resolve();

  constructor(
    private readonly answers: AnswerParts,
    private readonly sink: Sink,
  ) {}

  value(value: unknown): void {
    this.flush();
    const waiting = { text: textOf(value) };
    this.waiting = waiting;
    queueMicrotask(() => {
      if (this.waiting === waiting) this.flush();
    });
  }

  error(error: unknown): void {
    this.flush();
    this.send({ text: textOf(error), isError: true, isEnd: true });
    this.finish();
  }

  end(): void {
    const { waiting } = this;
    this.waiting = undefined;
    this.send({ text: waiting?.text, isError: false, isEnd: true });
    this.finish();
  }

  private flush(): void {
    const { waiting } = this;
    this.waiting = undefined;
    if (waiting) this.send({ text: waiting.text, isError: false, isEnd: false });
  }

  private send(part: Part): void {
    this.sending = this.sending.then(async () => this.sink.next(await this.answers.sign(part)));
  }

  private finish(): void {
    this.sending.then(
      () => this.sink.complete(),
      (error: unknown) => this.sink.error(error),
    );
  }
}

/** Nest leaves out a value that is undefined; in an answer it is null. */
function textOf(value: unknown): string {
  return writeMessageText(value === undefined ? null : value).text;
}
