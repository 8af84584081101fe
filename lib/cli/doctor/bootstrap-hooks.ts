/** Watches the `onApplicationBootstrap` hooks of the applications of this process. */
export interface BootstrapHooks {
  /** From now on, an application whose hooks have ended does not go on: it does not listen, and reports no error itself. */
  hold(): void;
  /** Waits for the hooks that were running at `hold()`. Returns the errors that they threw. */
  ended(): Promise<unknown[]>;
}

/** A method of every application of Nest, which calls these hooks. */
const METHOD = 'callBootstrapHook';

/**
 * Watches the copy of Nest that this library is installed with. Without that copy, or with an application of another one,
 * no hook is known, so none is waited for.
 */
export async function watchBootstrapHooks(): Promise<BootstrapHooks> {
  const running = new Set<Promise<unknown>>();
  let isHeld = false;
  const watched = async (hooks: Promise<unknown>): Promise<unknown> => {
    running.add(hooks);
    try {
      return await hooks;
    } finally {
      if (isHeld) await new Promise<never>(() => undefined);
      running.delete(hooks);
    }
  };
  const prototype = await prototypeOfApplications();
  const call: unknown = prototype && Reflect.get(prototype, METHOD);
  if (prototype && typeof call === 'function') {
    Reflect.set(prototype, METHOD, async function callWatched(this: unknown, ...args: unknown[]) {
      return await watched(Reflect.apply(call, this, args) as Promise<unknown>);
    });
  }
  return {
    hold: () => void (isHeld = true),
    ended: async () => {
      const results = await Promise.allSettled(running);
      return results.flatMap((each) =>
        each.status === 'rejected' ? [each.reason as unknown] : [],
      );
    },
  };
}

async function prototypeOfApplications(): Promise<object | undefined> {
  try {
    // oxlint-disable-next-line eslint/no-restricted-imports -- in the process of an application, Nest is installed
    const { NestApplicationContext } = await import('@nestjs/core');
    return NestApplicationContext.prototype;
  } catch {
    return undefined;
  }
}
