import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';

/** Of the cookie that holds the id of a session. */
export const COOKIE_NAME = 'edge_session';

const MOST_SESSIONS = 1000;
const LIFETIME_MILLISECONDS = 3_600_000;

export interface Session {
  /** The URI of the user who is logged in. */
  readonly user: string;
  readonly loggedInAtSeconds: number;
}

/** Who is logged in, in memory: an hour long, the 1000 who came last, and until Edge is started again. */
@Injectable()
export class Sessions {
  private readonly byId = new Map<string, Session>();

  /** @returns the id of a new session */
  start(user: string): string {
    const id = randomBytes(32).toString('base64url');
    this.byId.set(id, { user, loggedInAtSeconds: Math.floor(Date.now() / 1000) });
    const [oldest] = this.byId.keys();
    if (this.byId.size > MOST_SESSIONS && oldest !== undefined) this.byId.delete(oldest);
    return id;
  }

  /** @param cookies the header of a request; undefined: it has none */
  find(cookies: string | undefined): Session | undefined {
    const id = readId(cookies);
    const session = this.byId.get(id);
    if (session && Date.now() - session.loggedInAtSeconds * 1000 < LIFETIME_MILLISECONDS) {
      return session;
    }
    this.byId.delete(id);
    return undefined;
  }

  /** Ends the session of these cookies, where there is one. */
  end(cookies: string | undefined): void {
    this.byId.delete(readId(cookies));
  }
}

function readId(cookies = ''): string {
  const pairs = cookies.split(';').map((pair) => pair.trim().split('=', 2));
  return pairs.find(([name]) => name === COOKIE_NAME)?.[1] ?? '';
}
