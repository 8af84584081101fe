import type { Line, ProcessLine, RunLine } from './run-lines.js';

/** What was done to processes. */
export interface Incidents {
  /** When each process was killed. */
  readonly killedAt: ReadonlyMap<number, number>;
  /** When processes were stopped, and went on. */
  readonly stops: readonly Interval[];
}

/** In which a process stood still. */
export interface Interval {
  readonly pid: number;
  readonly from: number;
  readonly to: number;
}

/** What is to be explained, and by what. */
export interface Evidence {
  readonly uses: readonly string[];
  readonly lines: readonly Line[];
  readonly incidents: Incidents;
  readonly leaseMilliseconds: number;
}

/** How many uses or runs there are of each kind. */
export interface Verdict {
  readonly once: number;
  readonly never: number;
  readonly twice: number;
  /** Effects that are one too many, by what explains each. */
  readonly surplus: { readonly byCrash: number; readonly byStop: number };
  /** Uses with effects that nothing explains. */
  readonly unexplained: readonly string[];
  /** Uses that were reserved again when they were done. */
  readonly reservedWhenDone: readonly string[];
  /** Commits of processes that live whose lost lease no observer was told of, or tellings without one. */
  readonly untold: number;
  /** Processes that stood still for longer than two thirds of a lease, though nobody had stopped them. */
  readonly stalls: number;
  /** Kills while a handler ran: before its effect, and after it, when the process did not yet know of its commit. */
  readonly killed: { readonly before: number; readonly after: number };
}

/** One run of a handler, from its reservation on. */
export interface Run {
  readonly use: string;
  readonly pid: number;
  readonly asked: number;
  readonly reserved: number;
  readonly effect: number | undefined;
  readonly end: { readonly step: 'owned' | 'lost' | 'released'; readonly at: number } | undefined;
}

/** Judges what consumers wrote down: every effect but one of a use needs an explanation of its own. */
export function judge(evidence: Evidence): Verdict {
  const runs = groupBy(runsIn(evidence.lines), ({ use }) => use);
  const doneAt = doneTimes(evidence.lines);
  const of = (use: string): Run[] => runs.get(use) ?? [];
  const counts = evidence.uses.map((use) => of(use).filter(hasEffect).length);
  const explained = evidence.uses.map((use) => explain(of(use), evidence));
  const sum = (kind: 'byCrash' | 'byStop'): number =>
    explained.reduce((total, each) => total + each[kind], 0);
  return {
    once: counts.filter((count) => count === 1).length,
    never: counts.filter((count) => count === 0).length,
    twice: counts.filter((count) => count > 1).length,
    surplus: { byCrash: sum('byCrash'), byStop: sum('byStop') },
    unexplained: evidence.uses.filter((_, at) => explained[at]?.isWhole === false),
    reservedWhenDone: evidence.uses.filter((use) => isReservedWhenDone(of(use), doneAt.get(use))),
    untold: untold(evidence),
    stalls: stalls(evidence).filter((stall) => !isOfStop(stall, evidence.incidents)).length,
    killed: killedRuns([...runs.values()].flat(), evidence.incidents),
  };
}

/** The runs that the lines tell of, in the order of their reservations. */
export function runsIn(lines: readonly Line[]): Run[] {
  const own = groupBy(lines.filter(isOfRun), ({ owner }) => owner);
  return [...own.values()].flatMap((steps) => {
    const at = (...wanted: readonly string[]) => steps.find(({ step }) => wanted.includes(step));
    const reserved = at('reserved');
    if (!reserved) return [];
    const { use, pid, at: since, asked = since } = reserved;
    const end = at('owned', 'lost', 'released') as Run['end'];
    return [{ use, pid, asked, reserved: since, effect: at('effect')?.at, end }];
  });
}

const hasEffect = ({ effect }: Run): boolean => effect !== undefined;
const isOfRun = (line: Line): line is RunLine => 'use' in line;

/** Each effect but one is explained by a crash or by a stop of the process that had it. */
function explain(runs: readonly Run[], evidence: Evidence) {
  const effective = runs.filter(hasEffect);
  const surplus = Math.max(0, effective.length - 1);
  const crashes = effective.filter((run) => isCrash(run, runs, evidence)).length;
  const stops = effective.filter((run) => isStop(run, runs, evidence)).length;
  const byCrash = Math.min(surplus, crashes);
  const byStop = Math.min(surplus - byCrash, stops);
  return { byCrash, byStop, isWhole: byCrash + byStop === surplus };
}

/**
 * The process was killed after the effect and before the commit was recorded, and who came next had waited until the
 * reservation was over.
 */
function isCrash(run: Run, runs: readonly Run[], { incidents, leaseMilliseconds }: Evidence) {
  const { pid, effect = Infinity, end, asked } = run;
  const killed = incidents.killedAt.get(pid);
  if (killed === undefined || effect > killed || end) return false;
  const later = runs.filter(({ reserved }) => reserved > effect);
  return later.length > 0 && later.every((next) => next.reserved - asked >= leaseMilliseconds);
}

/**
 * The process stood still for longer than what was left of its lease, another run reserved the use after that, and the
 * commit said that the lease was lost.
 */
function isStop(run: Run, runs: readonly Run[], evidence: Evidence): boolean {
  const { pid, asked, end } = run;
  if (end?.step !== 'lost') return false;
  const left = shortestRest(evidence);
  const standing = [...evidence.incidents.stops, ...stalls(evidence)].filter(
    (each) =>
      each.pid === pid && each.to > asked && each.from < end.at && each.to - each.from >= left,
  );
  return runs.some(
    (other) =>
      other !== run &&
      other.asked < end.at &&
      standing.some(({ from }) => other.reserved >= from + left),
  );
}

/** A lease is renewed at each third of it, so that at least so much is left of it whenever a process stops. */
function shortestRest({ leaseMilliseconds }: Evidence): number {
  return (leaseMilliseconds * 2) / 3 - 100;
}

/** When each use was known to be done. */
export function doneTimes(lines: readonly Line[]): ReadonlyMap<string, number> {
  const times = new Map<string, number>();
  for (const line of lines.filter(isOfRun)) {
    if (!['owned', 'lost', 'seen'].includes(line.step)) continue;
    times.set(line.use, Math.min(line.at, times.get(line.use) ?? Infinity));
  }
  return times;
}

function isReservedWhenDone(runs: readonly Run[], doneAt = Infinity): boolean {
  return runs.some(({ asked }) => asked > doneAt);
}

function untold({ lines, incidents }: Evidence): number {
  const isAlive = ({ pid }: Line): boolean => !incidents.killedAt.has(pid);
  const count = (step: Line['step']): number =>
    lines.filter((line) => line.step === step && isAlive(line)).length;
  return Math.abs(count('lost') - count('lease_lost'));
}

function stalls(evidence: Evidence): Interval[] {
  const isStall = (line: Line): line is Extract<ProcessLine, { from: number }> =>
    line.step === 'stood-still';
  return evidence.lines
    .filter(isStall)
    .map(({ pid, from, at }) => ({ pid, from, to: at }))
    .filter(({ from, to }) => to - from >= shortestRest(evidence));
}

function isOfStop(stall: Interval, { stops }: Incidents): boolean {
  return stops.some(({ pid, from, to }) => pid === stall.pid && from < stall.to && to > stall.from);
}

function killedRuns(runs: readonly Run[], { killedAt }: Incidents): Verdict['killed'] {
  const pidsOf = (some: readonly Run[]): Set<number> => new Set(some.map(({ pid }) => pid));
  const open = runs.filter(({ pid, end }) => killedAt.has(pid) && !end);
  const after = pidsOf(open.filter(hasEffect));
  return { before: pidsOf(open).size - after.size, after: after.size };
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}
