/** What the store needs of a client, whoever wrote it. What these methods throw is a rejection. */
export interface RedisConnection {
  /** Whether commands go to several servers, each with a part of the keys. */
  readonly isCluster: boolean;
  /** What in the client's own options lets tokens be used twice; undefined where nothing is known to. */
  readonly risk: string | undefined;
  /** Whether a command would be sent now, rather than queued. */
  isReady(): boolean;
  /** Whether it is connected or will be, without anybody asking for it. */
  isConnecting(): boolean;
  /** `SET key 1 PX milliseconds NX`; the answer as it comes. */
  setIfAbsent(key: string, milliseconds: number): Promise<unknown>;
  /** `EVAL script 1 key args`; the answer as it comes. */
  evaluate(script: string, key: string, args: readonly string[]): Promise<unknown>;
  /** `WAIT count milliseconds`, for all that this connection wrote before. */
  waitForReplicas(count: number, milliseconds: number): Promise<unknown>;
  /** `INFO section`, of one server. */
  info(section: 'memory' | 'server'): Promise<unknown>;
  /** The ids of the servers that record uses: one, or each primary of a cluster. */
  serverIds(): Promise<readonly string[]>;
  /** Calls back whenever a connection was made; also the next ones. */
  onReady(listener: () => void): void;
  /** Calls back whenever commands may go to another server, though the client did not connect anew. */
  onMove(listener: () => void): void;
  onError(listener: (error: unknown) => void): void;
}

/** What both clients are besides their commands. */
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
