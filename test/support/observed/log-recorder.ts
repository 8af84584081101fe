import type { LoggerService } from '@nestjs/common';
import { inspect } from 'node:util';

/** A logger that remembers what an application logged, whole errors included. */
export class LogRecorder implements LoggerService {
  readonly entries: { readonly level: string; readonly text: string }[] = [];

  log(...parts: unknown[]): void {
    this.record('log', parts);
  }
  error(...parts: unknown[]): void {
    this.record('error', parts);
  }
  warn(...parts: unknown[]): void {
    this.record('warn', parts);
  }
  debug(...parts: unknown[]): void {
    this.record('debug', parts);
  }
  verbose(...parts: unknown[]): void {
    this.record('verbose', parts);
  }

  /** What was logged at one level, one text for each entry. */
  texts(level: string): string[] {
    return this.entries.filter((entry) => entry.level === level).map(({ text }) => text);
  }

  private record(level: string, parts: unknown[]): void {
    const text = parts.map((part) => (typeof part === 'string' ? part : inspect(part))).join(' ');
    this.entries.push({ level, text });
  }
}
