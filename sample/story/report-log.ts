import type { LoggerService } from '@nestjs/common';
import type { LogLine } from './messages.js';

/**
 * FOR THE DEMONSTRATION ONLY. Sends warnings and errors to the runner, which shows them after the story. A service of
 * yours keeps the logger that it has.
 */
export class ReportingLogger implements LoggerService {
  constructor(private readonly report: (line: LogLine) => void) {}

  log(): void {}

  warn(message: unknown): void {
    this.report({ level: 'warn', text: textOf(message) });
  }

  error(message: unknown): void {
    this.report({ level: 'error', text: textOf(message) });
  }

  fatal(message: unknown): void {
    this.report({ level: 'fatal', text: textOf(message) });
  }
}

function textOf(message: unknown): string {
  if (message instanceof Error) return message.stack ?? message.message;
  return typeof message === 'string' ? message : (JSON.stringify(message) ?? String(message));
}
