import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

type Fuzz = (data: Uint8Array) => Promise<void> | void;

const folder = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const TARGETS = readdirSync(folder('./corpus'));

/** The inputs the fuzzer starts from, and every one it ever found something with. */
describe.each(TARGETS)('the fuzz target %s', (target) => {
  const inputs = readdirSync(folder(`./corpus/${target}`));
  let fuzz: Fuzz;
  beforeAll(async () => {
    ({ fuzz } = (await import(`./${target}.fuzz.js`)) as { fuzz: Fuzz });
  });

  it.each(inputs)('has nothing to say about %s', async (name) => {
    await fuzz(readFileSync(folder(`./corpus/${target}/${name}`)));
  });
});

it('each target has inputs to start from', () => {
  const names = readdirSync(folder('.')).filter((name) => name.endsWith('.fuzz.ts'));
  expect(names.map((name) => name.replace('.fuzz.ts', '')).toSorted()).toEqual(TARGETS.toSorted());
});
