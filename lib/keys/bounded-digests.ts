import { hash } from 'node:crypto';

const MAX_DIGESTS = 10_000;

/** A set of names. It stores only digests, and only the 10,000 added last. */
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

/** Callers may invent long names, so only a short digest is remembered. */
export function digestOf(name: string): string {
  return hash('sha256', name, 'base64url');
}
