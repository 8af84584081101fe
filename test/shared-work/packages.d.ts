// What the battery uses of packages that only their own folder installs.
declare module 'p-limit' {
  const pLimit: (concurrency: number) => <T>(task: () => Promise<T>) => Promise<T>;
  export { pLimit as default };
}
declare module 'p-limit-3' {
  export { default } from 'p-limit';
}
declare module 'p-limit-4' {
  export { default } from 'p-limit';
}
declare module 'p-limit-5' {
  export { default } from 'p-limit';
}

declare module 'p-queue' {
  class PQueue {
    constructor(options: { concurrency: number });
    add<T>(task: () => Promise<T>): Promise<T>;
  }
  export { PQueue as default };
}
declare module 'p-queue-6' {
  import type PQueue from 'p-queue';
  const module: { default: typeof PQueue };
  export { module as default };
}
declare module 'p-queue-7' {
  export { default } from 'p-queue';
}
declare module 'p-queue-8' {
  export { default } from 'p-queue';
}
declare module 'p-queue-9' {
  export { default } from 'p-queue';
}

declare module 'p-memoize' {
  function pMemoize<Args extends unknown[], T>(
    fn: (...args: Args) => Promise<T>,
    options: { cacheKey(args: Args): string },
  ): (...args: Args) => Promise<T>;
  export { pMemoize as default };
}

declare module 'async' {
  const async: {
    queue<T, R>(
      worker: (task: T) => Promise<R>,
      concurrency: number,
    ): { pushAsync(task: T): Promise<R> };
  };
  export { async as default };
}

declare module 'async-lock' {
  class AsyncLock {
    constructor(options: { maxPending: number });
    acquire<T>(key: string, task: () => Promise<T>): Promise<T>;
  }
  export { AsyncLock as default };
}

declare module 'async-mutex' {
  class Mutex {
    runExclusive<T>(task: () => Promise<T>): Promise<T>;
  }
}

declare module 'bottleneck' {
  class Bottleneck {
    constructor(options: { maxConcurrent: number });
    schedule<T>(task: () => Promise<T>): Promise<T>;
  }
  export { Bottleneck as default };
}

declare module 'cockatiel' {
  interface Handled {
    readonly handled: unique symbol;
  }
  interface Policy {
    execute<T>(task: () => Promise<T>): Promise<T>;
  }
  const handleAll: Handled;
  function handleWhen(handles: (error: Error) => boolean): Handled;
  function bulkhead(limit: number, queue: number): Policy;
  function circuitBreaker(
    handled: Handled,
    options: { halfOpenAfter: number; breaker: ConsecutiveBreaker },
  ): Policy;
  function retry(
    handled: Handled,
    options: { maxAttempts: number; backoff: ConstantBackoff },
  ): Policy;
  class ConsecutiveBreaker {
    constructor(threshold: number);
  }
  class ConstantBackoff {
    constructor(milliseconds: number);
  }
}

declare module 'fastq' {
  const fastq: {
    promise<T, R>(
      worker: (task: T) => Promise<R>,
      concurrency: number,
    ): { push(task: T): Promise<R> };
  };
  export { fastq as default };
}

declare module 'generic-pool' {
  const genericPool: {
    createPool<T>(
      factory: { create(): Promise<T>; destroy(value: T): Promise<void> },
      options: { max: number },
    ): {
      use<R>(task: (value: T) => Promise<R>): Promise<R>;
      drain(): Promise<void>;
      clear(): Promise<void>;
    };
  };
  export { genericPool as default };
}

declare module 'opossum' {
  class CircuitBreaker<Args extends unknown[], T> {
    constructor(
      action: (...args: Args) => Promise<T>,
      options: {
        coalesce?: boolean;
        cache?: boolean;
        cacheGetKey?: (...args: Args) => string;
        errorFilter?: (error: unknown) => boolean;
      },
    );
    fire(...args: Args): Promise<T>;
    shutdown(): void;
  }
  export { CircuitBreaker as default };
}

declare module 'dataloader' {
  class DataLoader<K, V> {
    constructor(batch: (keys: readonly K[]) => Promise<readonly (V | Error)[]>);
    load(key: K): Promise<V>;
  }
  export { DataLoader as default };
}

declare module 'graphql' {
  interface Schema {
    readonly schema: unique symbol;
  }
  function buildSchema(source: string): Schema;
  function graphql(options: {
    schema: Schema;
    source: string;
    variableValues: Record<string, unknown>;
    rootValue: object;
  }): Promise<object>;
}

declare module '@trpc/server' {
  interface Procedure<Context> {
    input(parse: (input: unknown) => string): {
      query<T>(resolve: (call: { input: string; ctx: Context }) => T): (input: string) => T;
    };
  }
  interface Builder<Context> {
    readonly procedure: Procedure<Context>;
    router<T extends object>(procedures: T): T;
  }
  const initTRPC: { context<Context>(): { create(): Builder<Context> } };
}

declare module '@trpc/server/adapters/fetch' {
  function fetchRequestHandler(options: {
    endpoint: string;
    req: Request;
    router: object;
    createContext(): object;
  }): Promise<Response>;
}

declare module '@trpc/client' {
  type Link = (options: {
    url: string;
    maxURLLength?: number;
    fetch(url: string | URL, init?: object): Promise<Response>;
  }) => { readonly link: unique symbol };
  const httpLink: Link;
  const httpBatchLink: Link;
  function createTRPCClient(options: { links: ReturnType<Link>[] }): {
    echo: { query(id: string): Promise<{ id: string; sub: string | null }> };
  };
}

declare module '@apollo/client' {
  interface Answer {
    id: string;
    sub: string | null;
  }
  class HttpLink {
    constructor(options: {
      uri: string;
      fetch(url: string | URL, init?: object): Promise<Response>;
    });
  }
  class InMemoryCache {}
  class ApolloClient {
    constructor(options: { cache: InMemoryCache; link: object; queryDeduplication: boolean });
    query(options: {
      query: object;
      variables: object;
      fetchPolicy: string;
      context: object;
    }): Promise<{ data: { echo: Answer; me: Answer } }>;
    stop(): void;
  }
  function gql(source: TemplateStringsArray): object;
}

declare module '@apollo/client/link/batch-http' {
  export { HttpLink as BatchHttpLink } from '@apollo/client';
}
