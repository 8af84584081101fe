import { withinDeadline } from '../../core/index.js';
import type { HandlerCoverage } from '../../nest/handler-coverage.js';
import { callExport, loadModule } from '../configuration-module.js';
import { codeOf } from '../key-files.js';
import { CommandFailure, EXIT_CODES, type ExitCode, failUsage } from '../exit-codes.js';
import { paint, type Terminal, visible, writeJson } from '../terminal.js';
import { watchBootstrapHooks } from './bootstrap-hooks.js';

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

/** What is known of an application once its hooks have run. */
interface Started {
  readonly handlers: Table;
  /** Why it does not start, each in words. */
  readonly problems: readonly string[];
}

/**
 * Starts an application up to the end of `onApplicationBootstrap`, and prints how each handler is guarded.
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
  terminal.err(
    `${visible(file)} starts, and connects to its brokers and databases as it always does\n`,
  );
  const { handlers, problems } = await startUntilKnown(file, options.export);
  const hasOpen = handlers.some(isOpen);
  const status = problems.length > 0 ? 'fail' : hasOpen ? 'warn' : 'ok';
  if (options.json) writeJson(terminal, { status, handlers, problems });
  else {
    if (handlers.length > 0 || problems.length === 0) printTable(handlers, terminal);
    printProblems(problems, terminal);
  }
  const isGood = status === 'ok' || (status === 'warn' && !options.strict);
  return isGood ? EXIT_CODES.ok : EXIT_CODES.failed;
}

async function startUntilKnown(file: string, exportName: string | undefined): Promise<Started> {
  const hooks = await watchBootstrapHooks();
  const table = new Promise<Table>((resolve) => {
    Reflect.set(globalThis, COVERAGE_LISTENER, (handlers: Table) => {
      hooks.hold();
      resolve(handlers);
    });
  });
  const known = table.then(async (handlers) => {
    const problems = (await hooks.ended()).flatMap((error) => problemsOf(error, file));
    return { handlers, problems };
  });
  // A failed start ends the wait; a successful one may still be running.
  const failed = start(file, exportName).then(() => known, failedWith);
  const late = `${file} started no application with ServiceAuthModule within ${DEADLINE_SECONDS} seconds`;
  return await withinDeadline(
    DEADLINE_SECONDS * 1000,
    Promise.race([known, failed]),
    () => new CommandFailure('impossible', late),
  );
}

/** Rethrows what is no wrong configuration. */
function failedWith(error: unknown): Started {
  const problems = error instanceof CommandFailure ? configProblemsOf(error.cause) : undefined;
  if (!problems) throw error;
  return { handlers: [], problems };
}

/** What an error of a hook says in words. Of an unknown error only its code, as its message may quote a key. */
function problemsOf(error: unknown, file: string): readonly string[] {
  const problems = configProblemsOf(error);
  // The table has the handlers that `coverage: 'require'` names.
  if (problems) return problems.filter((problem) => !problem.startsWith('coverage: '));
  const { name, message } = Object(error) as { name?: unknown; message?: unknown };
  if (name === 'ServiceAuthUsageError') return [String(message)];
  return [`an onApplicationBootstrap hook failed (${codeOf(error)}); \`node ${file}\` says more`];
}

/** The problems of a `ServiceAuthConfigError`; by its name, as it may be of another copy of this library. */
function configProblemsOf(error: unknown): readonly string[] | undefined {
  const { name, problems } = Object(error) as { name?: unknown; problems?: unknown };
  const isConfig = name === 'ServiceAuthConfigError' && Array.isArray(problems);
  return isConfig ? problems.map(String) : undefined;
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

function printProblems(problems: readonly string[], terminal: Terminal): void {
  for (const problem of problems) {
    const word = paint(terminal, 'red', 'fail');
    terminal.out(`${word}  start: ${visible(problem)}\n`);
  }
}
