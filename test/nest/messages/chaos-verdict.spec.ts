import type { Line, Step } from '../../support/chaos/run-lines.js';
import { type Evidence, judge } from '../../support/chaos/verdict.js';

const LEASE = 2000;
const [FIRST, SECOND] = [1, 2];

/** What one run wrote down: its steps, in milliseconds. */
function run(owner: string, pid: number, steps: Partial<Record<Step, number>>): Line[] {
  return Object.entries(steps).map(([step, at]) => {
    const line = { step: step as Step, use: 'a', owner, pid, at };
    return step === 'reserved' ? { ...line, asked: at } : line;
  });
}

interface Told {
  readonly killedAt?: readonly (readonly [number, number])[];
  readonly stops?: Evidence['incidents']['stops'];
}

function judged(lines: readonly Line[], { killedAt = [], stops = [] }: Told = {}) {
  const incidents = { killedAt: new Map(killedAt), stops };
  return judge({ uses: ['a'], lines, incidents, leaseMilliseconds: LEASE });
}

const killed = run('x', FIRST, { reserved: 0, effect: 20 });
const afterCrash = run('y', SECOND, {
  reserved: LEASE + 10,
  effect: LEASE + 30,
  owned: LEASE + 40,
});
const crash: Told = { killedAt: [[FIRST, 25]] };

const stopped = run('x', FIRST, { reserved: 0, effect: 6010, lost: 6020 });
const duringStop = run('y', SECOND, { reserved: 2100, effect: 2150, owned: 2160 });
const stop: Told = { stops: [{ pid: FIRST, from: 10, to: 6000 }] };
const tellsOfIt: Line = { step: 'lease_lost', pid: FIRST, at: 6021 };

describe('The verdict of the scripts that kill and stop consumers', () => {
  it('has nothing to explain where each use has one effect', () => {
    const verdict = judged(run('x', FIRST, { reserved: 0, effect: 20, owned: 30 }));
    expect(verdict).toMatchObject({ once: 1, never: 0, twice: 0, unexplained: [] });
  });

  it('counts a use without an effect', () => {
    expect(judged(run('x', FIRST, { reserved: 0, released: 30 }))).toMatchObject({ never: 1 });
  });

  it('explains an effect by a kill before its commit', () => {
    const verdict = judged([...killed, ...afterCrash], crash);
    expect(verdict).toMatchObject({
      twice: 1,
      surplus: { byCrash: 1, byStop: 0 },
      unexplained: [],
    });
    expect(verdict.killed).toEqual({ before: 0, after: 1 });
  });

  it.each<[string, Line[], Told]>([
    ['without a kill', [...killed, ...afterCrash], {}],
    ['by the kill of another process', [...killed, ...afterCrash], { killedAt: [[SECOND, 25]] }],
    [
      'by a kill after its commit',
      [...run('x', FIRST, { reserved: 0, effect: 20, owned: 22 }), ...afterCrash],
      crash,
    ],
    [
      'by a kill, where the next did not wait for the lease',
      [...killed, ...run('y', SECOND, { reserved: LEASE - 10, effect: LEASE, owned: LEASE + 9 })],
      crash,
    ],
    [
      'by one kill, where there are three',
      [...killed, ...afterCrash, ...run('z', 3, { reserved: 5000, effect: 5010, owned: 5020 })],
      crash,
    ],
  ])('does not explain an effect %s', (_, lines, told) => {
    expect(judged(lines, told).unexplained).toEqual(['a']);
  });

  it('explains an effect by a stop beyond the lease that its commit reported', () => {
    const verdict = judged([...stopped, tellsOfIt, ...duringStop], stop);
    expect(verdict).toMatchObject({
      surplus: { byCrash: 0, byStop: 1 },
      unexplained: [],
      untold: 0,
    });
  });

  it('explains an effect by a stop that the process itself has noticed', () => {
    const stall: Line = { step: 'stood-still', pid: FIRST, from: 10, at: 6000 };
    const verdict = judged([...stopped, stall, tellsOfIt, ...duringStop]);
    expect(verdict).toMatchObject({ surplus: { byStop: 1 }, unexplained: [], stalls: 1 });
  });

  it.each<[string, Line[], Told]>([
    ['without a stop', [...stopped, ...duringStop], {}],
    [
      'by the stop of another process',
      [...stopped, ...duringStop],
      { stops: [{ pid: SECOND, from: 10, to: 6000 }] },
    ],
    [
      'by a stop shorter than what was left of the lease',
      [...stopped, ...duringStop],
      { stops: [{ pid: FIRST, from: 10, to: 1000 }] },
    ],
    [
      'by a stop whose commit did not say so',
      [...run('x', FIRST, { reserved: 0, effect: 6010, owned: 6020 }), ...duringStop],
      stop,
    ],
    [
      'by a stop, where the other began before the lease was over',
      [...stopped, ...run('y', SECOND, { reserved: 500, effect: 550, owned: 560 })],
      stop,
    ],
  ])('does not explain an effect %s', (_, lines, told) => {
    expect(judged(lines, told).unexplained).toEqual(['a']);
  });

  it('counts lost leases that no observer was told of', () => {
    expect(judged([...stopped, ...duringStop], stop).untold).toBe(1);
  });

  it('counts a use that was reserved again when it was done', () => {
    const done = run('x', FIRST, { reserved: 0, effect: 20, owned: 30 });
    const again = run('y', SECOND, { reserved: 40, released: 50 });
    expect(judged([...done, ...again]).reservedWhenDone).toEqual(['a']);
    const before = run('y', SECOND, { reserved: 0, released: 10 });
    expect(judged([...before, ...done]).reservedWhenDone).toEqual([]);
  });
});
