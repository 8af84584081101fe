import type { UnverifiedObject } from './unambiguous-json.js';

/** Usually one for each key of each caller. */
const MAX_HEADERS = 1000;
/** Longer headers are rare, and not kept. */
const MAX_LENGTH = 512;

/**
 * Remembers parsed JOSE headers by their encoded text: all tokens of a caller have the same header. Only headers of
 * tokens with a valid signature are kept, so strangers cannot fill the memory.
 */
export class KnownHeaders {
  readonly #byText = new Map<string, UnverifiedObject>();

  /** The parsed header; undefined if it is not known. */
  find(encodedHeader: string): UnverifiedObject | undefined {
    return this.#byText.get(encodedHeader);
  }

  /** Remembers the header of a token with a valid signature. */
  keep(encodedHeader: string, header: UnverifiedObject): void {
    if (this.#byText.has(encodedHeader) || encodedHeader.length > MAX_LENGTH) return;
    const [oldest] = this.#byText.size < MAX_HEADERS ? [] : this.#byText.keys();
    if (oldest !== undefined) this.#byText.delete(oldest);
    this.#byText.set(copyOf(encodedHeader), Object.freeze(header));
  }
}

/** Copies a text, since a slice of a string can keep the whole string in memory: here, a token. */
function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}
