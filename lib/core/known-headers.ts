import type { UnverifiedObject } from './unambiguous-json.js';

/** One for each key of each caller, as a rule. */
const MAX_HEADERS = 1000;
/** A longer header is a rare one. */
const MAX_LENGTH = 512;

/**
 * JOSE headers that were read before, by their encoded text: a caller's tokens all have the same one. Only a
 * good signature gets a header in here, so strangers cannot fill it.
 */
export class KnownHeaders {
  readonly #byText = new Map<string, UnverifiedObject>();

  /** What the text of a header says; undefined where it is not known. */
  find(encodedHeader: string): UnverifiedObject | undefined {
    return this.#byText.get(encodedHeader);
  }

  /** Remembers a header that came with a good signature. */
  keep(encodedHeader: string, header: UnverifiedObject): void {
    if (this.#byText.has(encodedHeader) || encodedHeader.length > MAX_LENGTH) return;
    const [oldest] = this.#byText.size < MAX_HEADERS ? [] : this.#byText.keys();
    if (oldest !== undefined) this.#byText.delete(oldest);
    this.#byText.set(copyOf(encodedHeader), Object.freeze(header));
  }
}

/** A part of a string may keep all of it in memory: here, a whole token. */
function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}
