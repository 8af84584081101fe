import { hash } from 'node:crypto';

const MAX_DIGESTS = 10_000;

/** A set of names of which only digests are kept, and of these the 10,000 added last. */
export class BoundedDigests {
  private readonly digests = new Set<string>();

  has(name: string): boolean {
    return this.digests.has(digestOf(name));
  }

  add(name: string): void {
    const digest = digestOf(name);
    this.digests.delete(digest);
    this.digests.add(digest);
    const [oldest] = this.digests.size > MAX_DIGESTS ? this.digests : [];
    if (oldest !== undefined) this.digests.delete(oldest);
  }
}

/** Names that callers invent can be long; what is remembered of them must not be. */
export function digestOf(name: string): string {
  return hash('sha256', name, 'base64url');
}
