import { once } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/** An address that is known before the service behind it is there. */
export interface Door {
  /** With a final slash, as base URLs of the sample have it. */
  readonly url: string;
  /** From now on everybody is let in to this server, those who wait as well. */
  leadTo(server: HttpServer): void;
  close(): Promise<void>;
}

/** @param early what becomes of those who come before the service does */
export async function openDoor(early: 'wait' | 'turned-away'): Promise<Door> {
  let house: HttpServer | undefined;
  const waiting = new Set<Socket>();
  const admit = (socket: Socket, server: HttpServer): void => {
    server.emit('connection', socket);
    socket.resume();
  };
  const door = createServer({ pauseOnConnect: true }, (socket) => {
    if (house) admit(socket, house);
    else if (early === 'wait') waiting.add(socket);
    else socket.destroy();
  });
  await once(door.listen(0, '127.0.0.1'), 'listening');
  const { port } = door.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    leadTo: (server) => {
      house = server;
      for (const socket of waiting) admit(socket, server);
      waiting.clear();
    },
    close: async () => {
      for (const socket of waiting) socket.destroy();
      await once(door.close(), 'close');
    },
  };
}
