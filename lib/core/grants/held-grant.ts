import { createSlot } from '../slot.js';

/**
 * A grant that this service may send on. Its state is private: nothing that prints a configuration, an identity or an
 * async context shows the text.
 */
export class HeldGrant {
  readonly #text: string | Promise<string>;
  readonly #subject: string;
  readonly #expiresAtSeconds: number | undefined;

  /**
   * @param text the value of the `Txn-Token` header, or the one that is being signed
   * @param about whom it is for, and until when; a service that does not verify grants does not know the end
   */
  constructor(
    text: string | Promise<string>,
    about: { readonly subject: string; readonly expiresAtSeconds?: number | undefined },
  ) {
    this.#text = text;
    this.#subject = about.subject;
    this.#expiresAtSeconds = about.expiresAtSeconds;
    // Who sends it learns why it was not signed; if nobody does, nobody needs to.
    if (typeof text !== 'string') text.catch(() => undefined);
    Object.freeze(this);
  }

  /** The user that it is for. */
  get subject(): string {
    return this.#subject;
  }

  /** The value of the header, once it is signed. @throws what signing it fails with */
  async text(): Promise<string> {
    return await this.#text;
  }

  /** Whether its end has passed, as far as that is known. @param nowMilliseconds since the epoch */
  isOver(nowMilliseconds: number): boolean {
    return this.#expiresAtSeconds !== undefined && this.#expiresAtSeconds * 1000 <= nowMilliseconds;
  }
}

const HELD = createSlot<HeldGrant>();

/** Notes the grant that came with a request. No member of its identity, which loggers print. */
export function holdGrant(identity: object, grant: HeldGrant): void {
  HELD.set(identity, grant);
}

/** The grant that came with the request of this identity, and may be sent on; undefined where there is none. */
export function heldGrantOf(identity: object): HeldGrant | undefined {
  return HELD.get(identity);
}
