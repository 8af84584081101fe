/**
 * Tries the rule of the JSON texts of messages with a million values and a million texts, and with 2,000 of each through
 * each broker: `node scripts/test-message-texts.mjs [--runs 1000000] [--sent 2000]`.
 */
import { parseArgs } from 'node:util';
import { run } from './run.mjs';
import { installPackages } from './with-packages.mjs';

const SPECS = [
  'test/core/messages/message-text.spec.ts',
  'test/nest/messages/message-texts.spec.ts',
];
const JEST = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--runInBand'];
const MINUTES = 180;

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000000' },
    sent: { type: 'string', default: '2000' },
  },
});
for (const [name, value] of Object.entries(values)) {
  if (Number.isSafeInteger(Number(value)) && Number(value) > 0) continue;
  console.error(`--${name}: write a whole number from 1`);
  process.exit(1);
}

// The client of MQTT.
installPackages('tools/tests');
process.env['MESSAGE_TEXT_RUNS'] = values.runs;
process.env['MESSAGE_TEXTS_SENT'] = values.sent;
try {
  run('node', [...JEST, ...SPECS], { minutes: MINUTES });
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
