import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/**
 * FOR THE DEMONSTRATION ONLY. The used tokens of all processes of Census, in the memory of the runner. In production this
 * is Redis: docs/replay.md.
 */
export interface ReplayMemory {
  /** Where a process posts a use; a path that nobody guesses. */
  readonly url: string;
  close(): Promise<void>;
}

/** What a process posts. It is answered 200 for the first use, and 409 for every other. */
export interface RecordedUse {
  readonly issuer: string;
  readonly tokenId: string;
  /** In seconds since the epoch. */
  readonly forgetAtSeconds: number;
}

export async function startReplayMemory(): Promise<ReplayMemory> {
  const path = `/${randomUUID()}`;
  const uses = new Map<string, number>();
  const server = createServer((request, response) => {
    answer(request, response, { path, uses }).catch(() => response.writeHead(400).end());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}${path}`, close: async () => await close(server) };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { path, uses }: { path: string; uses: Map<string, number> },
): Promise<void> {
  if (request.method !== 'POST' || request.url !== path) {
    response.writeHead(404).end();
    return;
  }
  const use = JSON.parse(await text(request)) as RecordedUse;
  response.writeHead(isFirst(use, uses) ? 200 : 409).end();
}

function isFirst({ issuer, tokenId, forgetAtSeconds }: RecordedUse, uses: Map<string, number>) {
  const now = Date.now() / 1000;
  for (const [key, until] of uses) if (until < now) uses.delete(key);
  const key = JSON.stringify([issuer, tokenId]);
  if (uses.has(key)) return false;
  uses.set(key, forgetAtSeconds);
  return true;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await once(server.close(), 'close');
}
