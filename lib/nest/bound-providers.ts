import type { Type } from '@nestjs/common';
import type { ModuleNode } from './module-graph.js';

/** The members of Nest's record of a provider that this library reads. */
export type Wrapper = Pick<
  NonNullable<ReturnType<ModuleNode['providers']['get']>>,
  'metatype' | 'isNotMetatype' | 'instance' | 'isDependencyTreeStatic' | 'host'
>;

/** The class of a provider, or of the instance that `useFactory` or `useValue` gave. */
export function classOf({ metatype, isNotMetatype, instance }: Wrapper): Type | undefined {
  const type: unknown = isNotMetatype ? (instance as object | undefined)?.constructor : metatype;
  if (typeof type !== 'function') return undefined;
  const { prototype } = type as { prototype: unknown };
  return typeof prototype === 'object' && prototype !== null ? (type as Type) : undefined;
}

/**
 * The providers of modules whose methods are handlers, as if Nest had made them all.
 *
 * @param isBound whether a class has methods that are bound even if a factory has made its instance
 */
export function boundProvidersIn(
  nodes: readonly ModuleNode[],
  isBound: (type: Type) => boolean,
): Wrapper[] {
  const wrappers: Wrapper[] = nodes.flatMap(({ providers }) => [...providers.values()]);
  const classes = wrappers.filter((wrapper) => !wrapper.isNotMetatype && classOf(wrapper));
  // What `useExisting` names is there under its class.
  const known = new Set(classes.map(({ instance }): unknown => instance));
  const made = wrappers.flatMap((wrapper) => {
    const { instance, host } = wrapper;
    const metatype = known.has(instance) ? undefined : classOf(wrapper);
    if (!wrapper.isNotMetatype || metatype === undefined || !isBound(metatype)) return [];
    const isDependencyTreeStatic = (): boolean => wrapper.isDependencyTreeStatic();
    return [{ metatype, isNotMetatype: false, instance, isDependencyTreeStatic, host }];
  });
  return [...classes, ...made];
}
