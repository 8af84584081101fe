import { hash, randomUUID } from 'node:crypto';
import { createSlot } from '../slot.js';

/**
 * A grant that this service may pass on. Its text is private, so printing a configuration, an identity or an async
 * context does not show it.
 */
export class HeldGrant {
  readonly #text: string | Promise<string>;
  readonly #subject: string;
  readonly #expiresAtSeconds: number | undefined;
  /** Identifies the grant while it is being signed and has no text yet. */
  readonly #id: string | undefined;

  /**
   * @param text the value of the `Txn-Token` header, or the one that is being signed
   * @param about the user and the end of the grant; a service that does not verify grants does not know the end
   */
  constructor(
    text: string | Promise<string>,
    about: { readonly subject: string; readonly expiresAtSeconds?: number | undefined },
  ) {
    this.#text = text;
    this.#subject = about.subject;
    this.#expiresAtSeconds = about.expiresAtSeconds;
    this.#id = typeof text === 'string' ? undefined : randomUUID();
    // The code that sends the grant gets this error. If no code sends it, the error is ignored.
    if (typeof text !== 'string') text.catch(() => undefined);
    Object.freeze(this);
  }

  /** The user of the grant. */
  get subject(): string {
    return this.#subject;
  }

  /**
   * A part of cache keys: equal for equal grants, different otherwise. It does not reveal the text.
   *
   * @internal
   */
  get digest(): string {
    const text = this.#text;
    return typeof text === 'string' ? hash('sha256', text, 'base64url') : String(this.#id);
  }

  /**
   * The value of the header, once it is signed.
   * @throws the error of signing
   */
  async text(): Promise<string> {
    return await this.#text;
  }

  /**
   * Whether the grant has expired, as far as its end is known.
   * @param nowMilliseconds since the epoch
   */
  isOver(nowMilliseconds: number): boolean {
    return this.#expiresAtSeconds !== undefined && this.#expiresAtSeconds * 1000 <= nowMilliseconds;
  }
}

const HELD = createSlot<HeldGrant>();

/** Stores the grant that came with a request. It is not a member of the identity, which loggers print. */
export function holdGrant(identity: object, grant: HeldGrant): void {
  HELD.set(identity, grant);
}

/** The grant that came with the request of this identity, if it may be passed on; undefined otherwise. */
export function heldGrantOf(identity: object): HeldGrant | undefined {
  return HELD.get(identity);
}
