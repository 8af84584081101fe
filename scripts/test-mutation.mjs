// Lets Stryker change the core, then the guard: `node scripts/test-mutation.mjs [core] [nest]`. Takes hours.
import { run } from './run.mjs';
import { installedProgram } from './with-packages.mjs';

const SETTINGS = { core: 'tools/mutation/core.json', nest: 'tools/mutation/nest.json' };
const HOURS = 24;

const named = process.argv.slice(2);
const unknown = named.filter((name) => !(name in SETTINGS));
if (unknown.length > 0) throw new Error(`${unknown.join(', ')}: write core or nest`);

const stryker = installedProgram('tools/mutation', 'stryker');
for (const [name, file] of Object.entries(SETTINGS)) {
  const isChosen = named.length === 0 || named.includes(name);
  if (isChosen) run(stryker, ['run', file], { minutes: HOURS * 60 });
}
