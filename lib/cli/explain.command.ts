import type { Command } from 'commander';
import { REFUSALS, type RefusalCode } from '../core/index.js';
import { EXIT_CODES, type ExitCode, type Finish, failUsage } from './exit-codes.js';
import { isRefusalCode, REFUSAL_HINTS } from './refusal-hints.js';
import { paint, type Terminal, writeJson } from './terminal.js';

const EXAMPLES = `
Examples:
  $ nestjs-service-auth explain audience_mismatch
  $ nestjs-service-auth explain --json

Exit codes: 0 explained, 2 there is no such code.`;

/** Adds the command that says what a refusal code means and what to do about it. */
export function addExplain(program: Command, terminal: Terminal, finish: Finish): void {
  program
    .command('explain')
    .summary('what a refusal code means, and what to do')
    .description(
      'Says what a refusal code means and what to do about it; without a code, of all of them.',
    )
    .argument('[code]', 'the `code` of a refusal, such as body_mismatch')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action((code: string | undefined, options: { json?: true }) =>
      finish(explain(code, options, terminal)),
    );
}

function explain(
  code: string | undefined,
  { json }: { json?: true },
  terminal: Terminal,
): ExitCode {
  const entries = codesToExplain(code).map((name) => ({
    code: name,
    ...REFUSALS[name],
    hint: REFUSAL_HINTS[name],
  }));
  if (json) writeJson(terminal, { codes: entries });
  else {
    for (const { code: name, status, message, hint } of entries) {
      terminal.out(`${paint(terminal, 'bold', name)} (${status})\n  ${message}\n  ${hint}\n`);
    }
  }
  return EXIT_CODES.ok;
}

function codesToExplain(code: string | undefined): RefusalCode[] {
  if (code === undefined) return Object.keys(REFUSALS).filter(isRefusalCode);
  if (isRefusalCode(code)) return [code];
  return failUsage('there is no such code; `nestjs-service-auth explain` lists all of them');
}
