import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { HttpException, InternalServerErrorException, Logger } from '@nestjs/common';

/** A request to open a WebSocket, and the HTTP answer that it gets unless it is let in. */
export class Handshake {
  readonly response: ServerResponse;

  private constructor(
    request: IncomingMessage,
    private readonly socket: Socket,
  ) {
    this.response = new ServerResponse(request);
    this.response.shouldKeepAlive = false;
    // Throws where another answer has the socket.
    this.response.assignSocket(socket);
    // Node has removed its own listener: without one, a caller that hangs up would end the process.
    socket.on('error', ignore);
  }

  /**
   * The handshake of a request that Node's server emitted as `upgrade`. A caller can send it right behind a request that has
   * no answer yet. No client of WebSockets does: the socket ends.
   *
   * @returns undefined where the socket has ended
   */
  static of(request: IncomingMessage, socket: Socket): Handshake | undefined {
    try {
      return new Handshake(request, socket);
    } catch {
      socket.destroy();
      return undefined;
    }
  }

  /** Leaves the socket to what speaks over it. Its end is that of the request. */
  accept(): void {
    const { response, socket } = this;
    response.detachSocket(socket);
    socket.off('error', ignore);
    socket.once('close', () => response.emit('close'));
  }

  /** Answers, and ends the socket. */
  refuse(exception: HttpException): void {
    // As Node ends its own: a caller that stays would keep a socket that is only half closed, and no timeout ends it.
    this.response.once('finish', () => this.socket.destroySoon());
    answer(this.response, exception);
  }

  /** Answers an error of the application: no exception filter sees it. */
  fail(error: unknown): void {
    if (error instanceof HttpException) return this.refuse(error);
    new Logger('ServiceAuth').error(error);
    this.refuse(new InternalServerErrorException());
  }
}

/** Answers in the words of Node alone: what is mounted may get no response of Express. A timeout may have answered before. */
export function answer(response: ServerResponse, error: HttpException): void {
  if (response.headersSent) return;
  const body = Buffer.from(JSON.stringify(error.getResponse()));
  response.statusCode = error.getStatus();
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.setHeader('Content-Length', body.length);
  response.end(body);
}

function ignore(): void {
  // The verification goes on, and what speaks over the socket finds it closed.
}
