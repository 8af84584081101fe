/** What the store needs of a client, whoever wrote it. What these methods throw is a rejection. */
export interface RedisConnection {
  /** Whether commands go to several servers, each with a part of the keys. */
  readonly isCluster: boolean;
  /** Whether a command would be sent now, rather than queued. */
  isReady(): boolean;
  /** Whether it is connected or will be, without anybody asking for it. */
  isConnecting(): boolean;
  /** `SET key 1 PX milliseconds NX`; the answer as it comes. */
  setIfAbsent(key: string, milliseconds: number): Promise<unknown>;
  /** `WAIT count milliseconds`, for all that this connection wrote before. */
  waitForReplicas(count: number, milliseconds: number): Promise<unknown>;
  /** `INFO memory` */
  memoryInfo(): Promise<unknown>;
  /** Calls back whenever a connection was made; also the next ones. */
  onReady(listener: () => void): void;
  onError(listener: (error: unknown) => void): void;
}

/** What both clients are besides their commands. */
export interface EventSource {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
}

/** Whether these members of an object are all methods. */
export function hasMethods(client: object, names: readonly string[]): boolean {
  return names.every((name) => typeof Reflect.get(client, name) === 'function');
}
