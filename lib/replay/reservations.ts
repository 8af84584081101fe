/** One use that a delivery holds. */
export interface Reservation {
  readonly issuer: string;
  readonly owner: string;
  /** When it ends, by a clock that never steps. */
  readonly untilMilliseconds: number;
}

/** The uses that deliveries hold at the moment: as many as handlers run. */
export class Reservations {
  private readonly byDigest = new Map<string, Reservation>();
  private readonly counts = new Map<string, number>();

  get size(): number {
    return this.byDigest.size;
  }

  countOf(issuer: string): number {
    return this.counts.get(issuer) ?? 0;
  }

  /** The reservation of a use; undefined if it has none, or one that is over. */
  find(digest: string, nowMilliseconds: number): Reservation | undefined {
    const found = this.byDigest.get(digest);
    return found && found.untilMilliseconds > nowMilliseconds ? found : undefined;
  }

  /** In place of the one before. */
  set(digest: string, reservation: Reservation): void {
    this.delete(digest);
    this.byDigest.set(digest, reservation);
    this.counts.set(reservation.issuer, this.countOf(reservation.issuer) + 1);
  }

  delete(digest: string): void {
    const found = this.byDigest.get(digest);
    if (!found) return;
    this.byDigest.delete(digest);
    const left = this.countOf(found.issuer) - 1;
    if (left > 0) this.counts.set(found.issuer, left);
    else this.counts.delete(found.issuer);
  }

  /** Deletes those that are over: their handlers crashed, or were stopped. */
  sweep(nowMilliseconds: number): void {
    for (const [digest, { untilMilliseconds }] of this.byDigest) {
      if (untilMilliseconds <= nowMilliseconds) this.delete(digest);
    }
  }
}
