/** The number of remembered uses of one issuer. */
interface IssuerUses {
  readonly issuer: string;
  live: number;
}

/**
 * Counts the remembered uses, in total and of each issuer, by the second of their end. Costs one number for each
 * issuer and second, and nothing for a single use.
 */
export class LiveUses {
  private readonly byIssuer = new Map<string, IssuerUses>();
  /** The uses that end in each future second. */
  private readonly bySecond = new Map<number, Map<IssuerUses, number>>();
  private live = 0;

  get total(): number {
    return this.live;
  }

  countOf(issuer: string): number {
    return this.byIssuer.get(issuer)?.live ?? 0;
  }

  /** Counts a use that ends in this second. */
  add(issuer: string, second: number): void {
    let uses = this.byIssuer.get(issuer);
    if (!uses) this.byIssuer.set(issuer, (uses = { issuer, live: 0 }));
    let due = this.bySecond.get(second);
    if (!due) this.bySecond.set(second, (due = new Map()));
    due.set(uses, (due.get(uses) ?? 0) + 1);
    uses.live++;
    this.live++;
  }

  /** Subtracts the uses that end in this second or before. There are as many seconds as a token may live. */
  forgetUntil(now: number): void {
    for (const [second, due] of this.bySecond) {
      if (second > now) continue;
      for (const [uses, count] of due) this.remove(uses, count);
      this.bySecond.delete(second);
    }
  }

  private remove(uses: IssuerUses, count: number): void {
    uses.live -= count;
    this.live -= count;
    if (uses.live === 0) this.byIssuer.delete(uses.issuer);
  }
}
