import { BoundedDigests } from './bounded-digests.js';

/** The most look-ups of strangers at once: in total, and for the names of one host. */
const MAX_STRANGERS = 100;
const MAX_OF_ONE_HOST = 50;

/**
 * Limits the look-ups that run at once, since anybody can invent issuers. An issuer that was trusted before always
 * gets a place. The invented names of one host leave half of the places to others.
 */
export class LookUpPlaces {
  private readonly trustedBefore = new BoundedDigests();
  private readonly takenByHost = new Map<string, number>();
  private taken = 0;

  /** Reserves a place for an issuer from now on. */
  keepFor(issuer: string): void {
    this.trustedBefore.add(issuer);
  }

  /**
   * Takes a place for an issuer with a checked URI. Returns a function that releases it; undefined if no place is
   * free.
   */
  take(issuer: string): (() => void) | undefined {
    if (this.trustedBefore.has(issuer)) return () => undefined;
    const { hostname } = new URL(issuer);
    const takenByHost = this.takenByHost.get(hostname) ?? 0;
    if (this.taken >= MAX_STRANGERS || takenByHost >= MAX_OF_ONE_HOST) return undefined;
    this.count(hostname, 1);
    return () => this.count(hostname, -1);
  }

  private count(hostname: string, change: 1 | -1): void {
    this.taken += change;
    const left = (this.takenByHost.get(hostname) ?? 0) + change;
    if (left > 0) this.takenByHost.set(hostname, left);
    else this.takenByHost.delete(hostname);
  }
}
