import { failImpossible } from './exit-codes.js';

/** The token of the options of `ServiceAuthModule`, from Nest's builder of configurable modules. */
const OPTIONS_TOKEN = 'SERVICE_AUTH_MODULE_OPTIONS';

export interface Provider {
  readonly provide?: unknown;
  readonly useValue?: unknown;
  readonly useClass?: unknown;
  readonly useExisting?: unknown;
  readonly useFactory?: () => unknown;
  readonly inject?: readonly unknown[];
}

interface DynamicModule {
  readonly module: { readonly name?: string };
  readonly imports?: readonly unknown[];
  readonly providers?: readonly Provider[];
  readonly controllers?: readonly unknown[];
}

/** One module as it is imported: a class, or the result of a method such as `forRoot()`. */
export interface FoundModule {
  /** The name of its class. */
  readonly name: string;
  readonly providers: readonly Provider[];
  readonly controllers: readonly unknown[];
}

/** Whether a value is a Nest module: a class with `@Module()`, or the result of `forRoot()`. */
export function isNestModule(value: unknown): boolean {
  return isDynamic(value) || importsOf(value) !== undefined;
}

/**
 * Finds the options of `ServiceAuthModule.forRoot(...)` or `forRootAsync({ useFactory })` among the direct and
 * indirect imports of modules. It creates no module, so it cannot call a factory with `inject`.
 *
 * @throws CommandFailure if there are none, those of several services, or only Nest can create them
 */
export async function readModuleOptions(file: string, roots: readonly unknown[]): Promise<unknown> {
  const found = await findServices(roots);
  const [only, ...others] = found;
  if (only === undefined) {
    return failImpossible(`${file} has no module that imports ServiceAuthModule.forRoot(...)`);
  }
  if (others.length > 0) {
    failImpossible(`${file} has ${found.length} services; name the module of one with --export`);
  }
  return await optionsOf(file, only);
}

async function findServices(roots: readonly unknown[]): Promise<DynamicModule[]> {
  return [...(await reachableFrom(roots))].filter(isService);
}

function isService(module: unknown): module is DynamicModule {
  return isDynamic(module) && module.module.name === 'ServiceAuthModule';
}

/** The modules that a service is made of: the roots, and all that they import. */
export async function modulesUnder(roots: readonly unknown[]): Promise<FoundModule[]> {
  return [...(await reachableFrom(roots))].flatMap((module) => {
    if (isService(module)) return [];
    if (isDynamic(module)) {
      const { providers = [], controllers = [] } = module;
      return [{ name: module.module.name ?? '', providers, controllers }];
    }
    const { name } = Object(module) as { name?: unknown };
    return [
      {
        name: typeof name === 'string' ? name : '',
        providers: metadataOf(module, 'providers') as Provider[],
        controllers: metadataOf(module, 'controllers'),
      },
    ];
  });
}

/** Each once. What `ServiceAuthModule` imports is its own matter. */
async function reachableFrom(roots: readonly unknown[]): Promise<ReadonlySet<unknown>> {
  const seen = new Set<unknown>();
  const waiting = [...roots];
  for (const written of waiting) {
    const module = await unwrap(written);
    if (seen.has(module)) continue;
    seen.add(module);
    if (isService(module)) continue;
    if (isDynamic(module)) waiting.push(module.module, ...(module.imports ?? []));
    else waiting.push(...(importsOf(module) ?? []));
  }
  return seen;
}

/** `imports` may contain promises, and `forwardRef(() => Module)`. */
async function unwrap(written: unknown): Promise<unknown> {
  const module = await written;
  const { forwardRef } = Object(module) as { forwardRef?: () => unknown };
  return typeof forwardRef === 'function' ? forwardRef() : module;
}

async function optionsOf(file: string, { providers = [] }: DynamicModule): Promise<unknown> {
  const provider = providers.find(({ provide }) => provide === OPTIONS_TOKEN);
  if (provider?.useValue !== undefined) return provider.useValue;
  if (typeof provider?.useFactory === 'function' && (provider.inject ?? []).length === 0) {
    return await provider.useFactory();
  }
  return failImpossible(
    `${file}: only Nest can make these options, since they are injected into; export a function that gives them, as \`serviceAuthOptions\``,
  );
}

function isDynamic(value: unknown): value is DynamicModule {
  return typeof value === 'object' && value !== null && 'module' in value;
}

/** The metadata of `@Module()` on a class, read with the reflect-metadata that the module itself has loaded. */
function importsOf(value: unknown): readonly unknown[] | undefined {
  const { getMetadata } = Reflect as { getMetadata?: (key: string, of: object) => unknown };
  if (typeof value !== 'function' || getMetadata === undefined) return undefined;
  const names = ['imports', 'providers', 'controllers', 'exports'];
  if (names.every((name) => getMetadata(name, value) === undefined)) return undefined;
  return metadataOf(value, 'imports');
}

/** A list that a decorator has noted on a class; empty if there is none. */
function metadataOf(value: unknown, key: string): readonly unknown[] {
  const list = metadata(key, value);
  return Array.isArray(list) ? (list as readonly unknown[]) : [];
}

/** What a decorator has noted on a class or a function, read with the reflect-metadata that the module itself has loaded. */
export function metadata(key: string, value: unknown): unknown {
  const { getMetadata } = Reflect as { getMetadata?: (key: string, of: object) => unknown };
  return typeof value === 'function' ? getMetadata?.(key, value) : undefined;
}
