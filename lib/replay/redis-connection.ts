/** The operations that the store needs of a client of any package. Errors of these methods are rejections. */
export interface RedisConnection {
  /** Whether commands go to several servers, each with a part of the keys. */
  readonly isCluster: boolean;
  /** The option of the client that lets tokens be used twice; undefined if none is known. */
  readonly risk: string | undefined;
  /** Whether a command would be sent now, instead of queued. */
  isReady(): boolean;
  /** Whether it is connected, or will connect by itself. */
  isConnecting(): boolean;
  /** `SET key 1 PX milliseconds NX`; returns the raw answer. */
  setIfAbsent(key: string, milliseconds: number): Promise<unknown>;
  /** `EVAL script 1 key args`; the answer as it comes. */
  evaluate(script: string, key: string, args: readonly string[]): Promise<unknown>;
  /** `WAIT count milliseconds`, for all that this connection wrote before. */
  waitForReplicas(count: number, milliseconds: number): Promise<unknown>;
  /** `INFO section`, of one server. */
  info(section: 'memory' | 'server'): Promise<unknown>;
  /** The ids of the servers that record uses: one, or each primary of a cluster. */
  serverIds(): Promise<readonly string[]>;
  /** Calls back after each new connection. */
  onReady(listener: () => void): void;
  /** Calls back each time commands may go to another server without a new connection. */
  onMove(listener: () => void): void;
  onError(listener: (error: unknown) => void): void;
}

/** The event methods of both clients. */
interface EventSource {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
}

export function isEventSource(value: unknown): value is EventSource {
  return typeof value === 'object' && value !== null && hasMethods(value, ['on']);
}

/** Whether these members of an object are all methods. */
export function hasMethods(client: object, names: readonly string[]): boolean {
  return names.every((name) => typeof Reflect.get(client, name) === 'function');
}
