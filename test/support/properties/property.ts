import { appendFileSync } from 'node:fs';
import fc from 'fast-check';

/** How many random inputs each property is tried with: `PROPERTY_RUNS`, 1,000 where nothing is said. */
const PROPERTY_RUNS = readNumber('PROPERTY_RUNS') ?? 1000;

const SECONDS_PER_THOUSAND_RUNS = 30;

type Predicate<Inputs extends [unknown, ...unknown[]]> = (
  ...inputs: Inputs
) => Promise<void> | void;
type Arbitraries<Inputs extends [unknown, ...unknown[]]> = {
  [At in keyof Inputs]: fc.Arbitrary<Inputs[At]>;
};

/**
 * Declares a test that `predicate` holds for random inputs. A failure names the smallest input found and
 * the two variables, `PROPERTY_SEED` and `PROPERTY_PATH`, that bring it back.
 */
export function itHolds<Inputs extends [unknown, ...unknown[]]>(
  title: string,
  arbitraries: Arbitraries<Inputs>,
  predicate: Predicate<Inputs>,
): void {
  const seed = readNumber('PROPERTY_SEED');
  const path = process.env['PROPERTY_PATH'];
  const check = async (): Promise<void> => {
    const start = performance.now();
    const property = fc.asyncProperty(...arbitraries, async (...inputs: Inputs) => {
      await predicate(...inputs);
    });
    const details = await fc.check(property, {
      numRuns: PROPERTY_RUNS,
      ...(seed === undefined ? {} : { seed }),
      ...(path === undefined ? {} : { path, endOnFailure: true }),
    });
    if (details.failed) throw new Error(await explain(details), { cause: details.errorInstance });
    record(details.numRuns, (performance.now() - start) / 1000);
  };
  it(title, check, Math.max(60, (PROPERTY_RUNS / 1000) * SECONDS_PER_THOUSAND_RUNS) * 1000);
}

async function explain<Inputs>(details: fc.RunDetails<Inputs>): Promise<string> {
  const report = (await fc.asyncDefaultReportMessage(details)) ?? 'no report';
  const { counterexamplePath, seed } = details;
  return `${report}\n\nAgain: PROPERTY_SEED=${seed} PROPERTY_PATH=${counterexamplePath} npm test -- -t <title>`;
}

/** Tells the script that counts; a line of JSON for each property. */
function record(runs: number, seconds: number): void {
  const file = process.env['PROPERTY_REPORT'];
  if (file === undefined) return;
  const { currentTestName: title } = expect.getState();
  appendFileSync(file, `${JSON.stringify({ title, runs, seconds })}\n`);
}

function readNumber(variable: string): number | undefined {
  const written = process.env[variable];
  if (written === undefined) return undefined;
  const number = Number(written);
  if (!Number.isSafeInteger(number)) throw new Error(`${variable}: write a whole number`);
  return number;
}
