/** The value of every name over the limit. */
export const OTHER = 'other';

/**
 * Limits the number of values of a label: the first names keep their own value, all others share one. A metrics
 * system stores each value forever, and a finder can return any number of issuers.
 */
export class BoundedLabels {
  private readonly names = new Set<string>();

  constructor(private readonly maxNames: number) {}

  /** The label of `name`: itself, or `other`. */
  labelOf(name: string): string {
    if (this.names.has(name)) return name;
    if (this.names.size >= this.maxNames) return OTHER;
    this.names.add(name);
    return name;
  }
}
