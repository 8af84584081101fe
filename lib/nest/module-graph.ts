import type { InjectionToken } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { ServiceAuth } from '../service-auth.js';

/** A module in Nest's container. */
export type ModuleNode = ModulesContainer extends Map<string, infer Node> ? Node : never;

/**
 * The modules that export a provider to `module`, in Nest's order of search: the order of imports, global modules
 * last.
 *
 * @param imports the imports to search. Default: all
 */
export function exportersTo(
  module: ModuleNode,
  token: InjectionToken,
  imports: Iterable<ModuleNode> = module.imports,
): ModuleNode[] {
  const seen = new Set<ModuleNode>();
  return [...imports].flatMap((each) => exportersIn(each, token, seen));
}

/** The module whose provider Nest injects into `module`; undefined if none is visible. */
export function sourceFor(module: ModuleNode, token: InjectionToken): ModuleNode | undefined {
  return module.providers.has(token) ? module : exportersTo(module, token)[0];
}

function exportersIn(
  module: ModuleNode,
  token: InjectionToken,
  seen: Set<ModuleNode>,
): ModuleNode[] {
  if (seen.has(module)) return [];
  seen.add(module);
  if (module.exports.has(token) && module.providers.has(token)) return [module];
  const reexported = [...module.imports].filter(({ metatype }) => module.exports.has(metatype));
  return reexported.flatMap((each) => exportersIn(each, token, seen));
}

/** The service that a module of Nest makes; undefined if it makes none. */
export function serviceOf(node: ModuleNode | undefined): ServiceAuth | undefined {
  const instance: unknown = node?.providers.get(ServiceAuth)?.instance;
  return instance instanceof ServiceAuth ? instance : undefined;
}

/** The modules whose providers were injected into a module. */
export function dependenciesOf(module: ModuleNode): ModuleNode[] {
  const { providers, controllers, injectables } = module;
  const wrappers = [providers, controllers, injectables].flatMap((each) => [...each.values()]);
  return wrappers
    .flatMap((wrapper) => [
      ...(wrapper.getCtorMetadata() ?? []),
      ...(wrapper.getPropertiesMetadata() ?? []).map(({ wrapper: injected }) => injected),
    ])
    .flatMap(({ host }) => host ?? []);
}
