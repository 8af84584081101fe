/** Stands for every name that found no room. */
export const OTHER = 'other';

/**
 * Keeps the number of different values of a label bounded: the first names keep their own, all others
 * share one. A metrics system pays for each value for ever, and issuers that are looked up have no end.
 */
export class BoundedLabels {
  private readonly names = new Set<string>();

  constructor(private readonly maxNames: number) {}

  /** The value that stands for `name`: itself, or `other`. */
  labelOf(name: string): string {
    if (this.names.has(name)) return name;
    if (this.names.size >= this.maxNames) return OTHER;
    this.names.add(name);
    return name;
  }
}
