import type { TokenUse } from '../core/index.js';

/** Clocks that differ by at most this were not set, but read at different moments. */
const STEADY_SECONDS = 1;
const MOST_ERAS = 8;

/** A time during which the wall clock was not set. */
interface Era {
  /** Wall clock minus steady clock, in seconds. */
  offset: number;
  /** The wall clock when it began. */
  from: number;
  /** The latest end of a use recorded in it. */
  upTo: number;
}

/**
 * Tracks how the wall clock was set. So it knows which uses a store may have recorded and forgotten although they
 * live by the wall clock: uses of an era whose own clock is past their end.
 *
 * A use lies between the beginning of its era and `upTo`. A fresh token outside all eras was never recorded, however
 * far ahead the clock was. The number of eras is limited: the two closest ones are joined, which only refuses more.
 */
export class ClockHistory {
  /** The current one is the last. */
  private readonly eras: Era[] = [];

  /** @param marginSeconds how much longer than needed the store remembers a use */
  constructor(private readonly marginSeconds: number) {}

  /** Notes that a use is recorded at `steadySeconds` of a monotonic clock. */
  note({ nowSeconds, forgetAtSeconds }: TokenUse, steadySeconds: number): void {
    const era = this.eraOf(nowSeconds - steadySeconds);
    if (nowSeconds < era.from) era.from = nowSeconds;
    if (forgetAtSeconds < era.from) era.from = forgetAtSeconds;
    if (forgetAtSeconds > era.upTo) era.upTo = forgetAtSeconds;
  }

  /**
   * By how many seconds the clock was set back since a use with this end may have been recorded and forgotten;
   * undefined if none was forgotten.
   */
  putBackSeconds({ nowSeconds, forgetAtSeconds }: TokenUse, steadySeconds: number) {
    let seconds: number | undefined;
    for (const { offset, from, upTo } of this.eras) {
      if (forgetAtSeconds < from || forgetAtSeconds > upTo) continue;
      if (forgetAtSeconds + this.marginSeconds > steadySeconds + offset) continue;
      seconds = Math.max(seconds ?? 0, steadySeconds + offset - nowSeconds);
    }
    return seconds;
  }

  /**
   * Whether a clock of this history is past the use, even if the use lies in no era. Another process may have
   * recorded it, and the shared store may have forgotten it.
   */
  wasPast({ forgetAtSeconds }: TokenUse, steadySeconds: number): boolean {
    return this.eras.some(
      ({ offset }) => forgetAtSeconds + this.marginSeconds <= steadySeconds + offset,
    );
  }

  private eraOf(offset: number): Era {
    const isLike = (era: Era): boolean => Math.abs(era.offset - offset) <= STEADY_SECONDS;
    const current = this.eras.at(-1);
    if (current && isLike(current)) {
      if (offset > current.offset) current.offset = offset;
      return current;
    }
    const at = this.eras.findIndex(isLike);
    const [known] = at < 0 ? [] : this.eras.splice(at, 1);
    const era = known ?? { offset, from: Infinity, upTo: -Infinity };
    era.offset = Math.max(era.offset, offset);
    if (this.eras.length === MOST_ERAS) joinClosest(this.eras);
    this.eras.push(era);
    return era;
  }
}

function joinClosest(eras: Era[]): void {
  const pairs = eras.flatMap((one, at) => eras.slice(at + 1).map((other) => ({ one, other })));
  const [closest] = pairs.toSorted((a, b) => gapOf(a.one, a.other) - gapOf(b.one, b.other));
  if (!closest) return;
  const { one, other } = closest;
  one.offset = Math.max(one.offset, other.offset);
  one.from = Math.min(one.from, other.from);
  one.upTo = Math.max(one.upTo, other.upTo);
  eras.splice(eras.indexOf(other), 1);
}

/** Below 0 if they overlap. */
function gapOf(one: Era, other: Era): number {
  return Math.max(one.from, other.from) - Math.min(one.upTo, other.upTo);
}
