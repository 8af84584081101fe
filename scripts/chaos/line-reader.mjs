import { closeSync, openSync, readSync } from 'node:fs';

/** @typedef {import('../../test/support/chaos/run-lines.js').Line} Line */

/** Reads what several processes write into one file, as it grows. */
export class LineReader {
  /** @type {Line[]} */
  lines = [];
  offset = 0;
  rest = '';
  buffer = Buffer.alloc(1 << 20);

  /** @param {string} path */
  constructor(path) {
    this.file = openSync(path, 'a+');
  }

  /** @returns all lines so far */
  read() {
    for (;;) {
      const count = readSync(this.file, this.buffer, 0, this.buffer.length, this.offset);
      if (count === 0) return this.lines;
      this.offset += count;
      const parts = (this.rest + this.buffer.toString('latin1', 0, count)).split('\n');
      this.rest = parts.pop() ?? '';
      for (const part of parts) this.lines.push(/** @type {Line} */ (JSON.parse(part)));
    }
  }

  close() {
    closeSync(this.file);
  }
}
