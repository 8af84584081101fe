import type { ModuleMetadata, ValueProvider } from '@nestjs/common';
import type { ModuleNode } from './module-graph.js';

type Imports = NonNullable<ModuleMetadata['imports']>;

/** The token of the provider with the imports that the application gave to a signing client. */
const IMPORTS_OF_CLIENT = Symbol('IMPORTS_OF_CLIENT');

/** Marks a module that provides a signing client. */
export function markSigningClient(imports: Imports = []): ValueProvider<() => Imports> {
  // A function, so that a printed module does not show the options of its imports.
  return { provide: IMPORTS_OF_CLIENT, useValue: () => imports };
}

/** Whether a module provides a signing client. */
export function isSigningClient({ providers }: ModuleNode): boolean {
  return providers.has(IMPORTS_OF_CLIENT);
}

/** The classes of the modules that the application gave a client to import. */
export function importsOfClient({ providers }: ModuleNode): unknown[] {
  const imports = call(providers.get(IMPORTS_OF_CLIENT)?.instance);
  return Array.isArray(imports) ? imports.map(classOf) : [];
}

/** The class of an import: a class, a dynamic module, or a reference to one of them. */
function classOf(imported: unknown): unknown {
  if (typeof imported !== 'object' || imported === null) return imported;
  if ('forwardRef' in imported) return classOf(call(imported.forwardRef));
  return 'module' in imported ? imported.module : undefined;
}

function call(fn: unknown): unknown {
  return typeof fn === 'function' ? Reflect.apply(fn, undefined, []) : undefined;
}
