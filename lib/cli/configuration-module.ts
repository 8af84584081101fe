import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type ServiceAuthOptions, withinDeadline } from '../core/index.js';
import type { ServiceAuthModuleOptions } from '../nest/service-auth.options.js';
import { CommandFailure, failImpossible } from './exit-codes.js';
import { codeOf } from './key-files.js';
import {
  type FoundModule,
  isNestModule,
  modulesUnder,
  readModuleOptions,
} from './module-options.js';

/** Options that only a Nest application uses. Add new ones here. */
const ONLY_IN_NEST: Readonly<
  Record<Exclude<keyof ServiceAuthModuleOptions, keyof ServiceAuthOptions>, true>
> = {
  userResolver: true,
  spoolDirectory: true,
  rawBody: true,
  subjectPropagation: true,
  enforcement: true,
  reportUntil: true,
  coverage: true,
  tokenAfterVerification: true,
};

/** The names under which a module may export its options. The first one found counts. */
const EXPORT_NAMES = ['serviceAuthOptions', 'options', 'default'] as const;

const DEADLINE_SECONDS = 15;

/** Options that are not checked yet. */
export type UncheckedOptions = Readonly<Record<string, unknown>>;

/**
 * Loads the options of a service, as {@link loadModuleOptions} does.
 *
 * @returns the options without those for Nest
 * @throws CommandFailure
 */
export async function loadOptions(file: string, exportName?: string): Promise<UncheckedOptions> {
  return withoutNest(await loadModuleOptions(file, exportName));
}

/** The options without those for Nest. */
export function withoutNest(options: UncheckedOptions): UncheckedOptions {
  return Object.fromEntries(
    Object.entries(options).filter(([name]) => !Object.hasOwn(ONLY_IN_NEST, name)),
  );
}

/**
 * Loads the module that exports the options of a service: an object, a function (async or not) that returns one, or a
 * Nest module that imports `ServiceAuthModule.forRoot(...)`. Runs the module as the service would.
 *
 * @returns the options, including those for Nest
 * @throws CommandFailure with the problem, never with a message of the module, which may quote a key
 */
export async function loadModuleOptions(
  file: string,
  exportName?: string,
): Promise<UncheckedOptions> {
  return (await loadService(file, exportName)).options;
}

/** The options of a service, and the modules that it is made of. */
export interface LoadedService {
  /** Including those for Nest. */
  readonly options: UncheckedOptions;
  /** Those that the file exports, with all that they import. Empty if it exports options alone. */
  readonly modules: readonly FoundModule[];
}

/**
 * Loads the options of a service, as {@link loadModuleOptions} does, and the Nest modules that the file exports.
 *
 * @throws CommandFailure
 */
export async function loadService(file: string, exportName?: string): Promise<LoadedService> {
  const module = await inTime(file, loadModule(file));
  const exported = pick(file, module, exportName);
  const roots = nestModulesOf(module, exported, exportName);
  const options = await readOptions(file, exported, roots);
  const isAlone = roots.length === 0 && exportName === undefined;
  const beside = isAlone ? allNestModules(module) : roots;
  const modules = await inTime(
    file,
    callExport(file, async () => await modulesUnder(beside)),
  );
  return { options, modules: modules as readonly FoundModule[] };
}

async function readOptions(
  file: string,
  exported: unknown,
  roots: readonly unknown[],
): Promise<UncheckedOptions> {
  const give = async (): Promise<unknown> => {
    if (roots.length > 0) return await readModuleOptions(file, roots);
    return typeof exported === 'function' ? await (exported as () => unknown)() : exported;
  };
  if (roots.length === 0 && isWithoutOptions(exported)) {
    return failImpossible(`${file} exports neither options nor a Nest module; ${LOOKS_LIKE_MAIN}`);
  }
  const options = await inTime(file, callExport(file, give));
  if (typeof options !== 'object' || options === null) {
    return failImpossible(
      `${file} exports no options: export an object, a function that gives one, or a Nest module`,
    );
  }
  return options as UncheckedOptions;
}

const LOOKS_LIKE_MAIN =
  'if it is the file that starts the application, name the built file of the root module, such as dist/app.module.js (`doctor --routes` takes the file that starts it)';

/** Whether a file exports nothing, or functions alone, as one that starts an application may: options name an issuer. */
function isWithoutOptions(exported: unknown): boolean {
  if (exported === undefined) return true;
  if (typeof exported !== 'object' || exported === null) return false;
  const named = Object.entries(exported).filter(([name]) => name !== '__esModule');
  return named.every(([, value]) => typeof value === 'function');
}

/** A module may wait forever, such as for a connection. */
async function inTime<T>(file: string, work: Promise<T>): Promise<T> {
  const late = `${file} gave nothing within ${DEADLINE_SECONDS} seconds; does it wait for a connection?`;
  return await withinDeadline(
    DEADLINE_SECONDS * 1000,
    work,
    () => new CommandFailure('impossible', late),
  );
}

/** What to do about errors with which a module cannot be loaded. */
const LOAD_ADVICE: ReadonlyMap<string, string> = new Map([
  ['ERR_UNKNOWN_FILE_EXTENSION', 'name the JavaScript it is built to'],
  ['EADDRINUSE', LOOKS_LIKE_MAIN],
]);

/**
 * Runs a module. @throws CommandFailure with the reason why it cannot be loaded, never with a message of the module
 */
export async function loadModule(file: string): Promise<Record<string, unknown>> {
  const path = resolve(file);
  if (!existsSync(path)) return failImpossible(`${file} is not there`);
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    const code = codeOf(error);
    const advice = LOAD_ADVICE.get(code) ?? `\`node ${file}\` says more`;
    return failImpossible(`${file} cannot be loaded (${code}); ${advice}`, error);
  }
}

/** A CommonJS module is its own default export. */
function pick(file: string, module: Record<string, unknown>, wanted: string | undefined): unknown {
  const inner = Object(module['default']) as Record<string, unknown>;
  const names = wanted === undefined ? EXPORT_NAMES : [wanted];
  const found =
    names.find((name) => name !== 'default' && name in module) ??
    names.find((name) => name in inner);
  if (found !== undefined) return module[found] ?? inner[found];
  if (wanted !== undefined) return failImpossible(`${file} has no export ${wanted}`);
  return module['default'];
}

/** The named Nest module or, if no options are exported, all exported Nest modules. */
function nestModulesOf(
  module: Record<string, unknown>,
  exported: unknown,
  wanted: string | undefined,
): unknown[] {
  if (isNestModule(exported)) return [exported];
  if (wanted !== undefined || exported !== module['default']) return [];
  return allNestModules(module);
}

/** A CommonJS module is its own default export. */
function allNestModules(module: Record<string, unknown>): unknown[] {
  const inner = Object(module['default']) as Record<string, unknown>;
  const all = [...Object.values(module), ...Object.values(inner)];
  return all.filter(isNestModule);
}

/** Calls an exported function. @throws CommandFailure, never with a message of the module */
export async function callExport(file: string, give: () => Promise<unknown>): Promise<unknown> {
  try {
    return await give();
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    return failImpossible(`the function that ${file} exports failed (${codeOf(error)})`, error);
  }
}
