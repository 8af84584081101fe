/** A fenced code block of a page; see page-blocks.mjs. */
export interface Block {
  readonly language: string;
  readonly file?: string;
  readonly role?: string;
  readonly variant?: string;
  readonly code: string;
  /** Of its opening fence. */
  readonly line: number;
}

/** Every fenced block of a page, in its order. */
export function readBlocks(page: string): Block[];
