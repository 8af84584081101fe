import { withinDeadline } from '../../core/index.js';
import type { HandlerCoverage } from '../../nest/handler-coverage.js';
import { callExport, loadModule } from '../configuration-module.js';
import { CommandFailure, EXIT_CODES, type ExitCode, failUsage } from '../exit-codes.js';
import { paint, type Terminal, visible, writeJson } from '../terminal.js';

/** Where in `globalThis` a started application finds the function that receives how its handlers are guarded. */
const COVERAGE_LISTENER = Symbol.for('nestjs-service-auth:coverage');

/** Applications open connections before they have started. */
const DEADLINE_SECONDS = 60;

interface RoutesOptions {
  readonly export?: string;
  readonly strict?: true;
  readonly json?: true;
}

type Table = readonly HandlerCoverage[];

/**
 * Starts an application up to `onApplicationBootstrap`, and prints how each handler is guarded.
 *
 * @param file the module that starts it, or that exports a function to start it, under the name in `--export`
 * @throws CommandFailure if the application does not start, or has no ServiceAuthModule
 */
export async function examineRoutes(
  file: string,
  options: RoutesOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  terminal.divertOthers();
  const handlers = await startUntilKnown(file, options.export);
  const isGood = !handlers.some(isOpen);
  const status = isGood ? 'ok' : 'warn';
  if (options.json) writeJson(terminal, { status, handlers });
  else printTable(handlers, terminal);
  return isGood || !options.strict ? EXIT_CODES.ok : EXIT_CODES.failed;
}

async function startUntilKnown(file: string, exportName: string | undefined): Promise<Table> {
  const table = new Promise<Table>((resolve) => {
    Reflect.set(globalThis, COVERAGE_LISTENER, resolve);
  });
  // A failed start ends the wait; a successful one may still be running.
  const failed = start(file, exportName).then(() => table);
  const late = `${file} started no application with ServiceAuthModule within ${DEADLINE_SECONDS} seconds`;
  return await withinDeadline(
    DEADLINE_SECONDS * 1000,
    Promise.race([table, failed]),
    () => new CommandFailure('impossible', late),
  );
}

async function start(file: string, exportName: string | undefined): Promise<void> {
  const module = await loadModule(file);
  if (exportName === undefined) return;
  const inner = Object(module['default']) as Record<string, unknown>;
  const bootstrap = module[exportName] ?? inner[exportName];
  if (typeof bootstrap !== 'function')
    return failUsage(`${file} exports no function ${exportName}`);
  await callExport(file, async () => (await (bootstrap as () => unknown)()) as unknown);
}

function isOpen({ verdict }: HandlerCoverage): boolean {
  return verdict === 'open' || verdict === 'undecided';
}

const COLOURS = {
  guarded: 'green',
  optional: 'green',
  skipped: 'dim',
  unserved: 'dim',
  open: 'yellow',
  undecided: 'yellow',
} as const;

function printTable(handlers: Table, terminal: Terminal): void {
  const rows = handlers.toSorted((one, other) => Number(isOpen(other)) - Number(isOpen(one)));
  for (const { handler, verdict, otherGuards } of rows) {
    const word = paint(terminal, COLOURS[verdict], verdict.padEnd(9));
    const behind = otherGuards.length > 0 ? `  behind ${otherGuards.join(', ')}` : '';
    terminal.out(`${word}  ${visible(`${handler}${behind}`)}\n`);
  }
  const open = handlers.filter(isOpen).length;
  terminal.out(`\n${handlers.length} handlers, ${open} open without a word\n`);
}
