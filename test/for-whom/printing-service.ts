import { type ChildProcess, fork } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { connect } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { decodeClaims, forge, strictToken } from '../support/tokens/forge.js';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { secretsOfKey, stringsIn, tellingSegments } from '../support/observed/traces.js';
import type { Kind, Told, Way } from './processes/printing-everything.process.js';

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const EDGE = 'https://edge.service/';
const TRUST_DOMAIN = 'https://test.example.org/';
const WAYS: readonly Way[] = ['identity', 'uri', 'around', 'bound', 'originated'];
const FAILURES = ['promise', 'observable', 'unreachable', 'fetch', 'signing', 'unnamed'];

/** A secret or an identity that was printed. */
export interface Hit {
  readonly what: string;
  /** A file of what was printed, or a log. */
  readonly file: string;
}

interface Posted {
  readonly target: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** The service in a process of its own, the one that calls it, and the one that it calls. */
export class PrintingService {
  /** What must not be printed, and what it is. */
  readonly secrets = new Map<string, string>();
  /** By what a plain member is shown, for each thing that was printed. */
  readonly shown = new Map<string, readonly string[]>();
  readonly unexpected: string[] = [];
  /** By the name of the log. */
  output: Record<string, string> = {};
  exitCode: unknown;

  private readonly folder = mkdtempSync(join(tmpdir(), 'printed-identities-'));
  private readonly censusKey = createKey();
  private readonly heraldKey = createKey();
  private readonly held: ServerResponse[] = [];
  private readonly wire = new RecordingServer(({ target }, response) => {
    if (target !== '/held') response.writeHead(Number(target.slice(1))).end('{}');
    else this.child?.send(`held ${this.held.push(response)}`);
  });
  private child: ChildProcess | undefined;

  constructor(
    private readonly place: string,
    private readonly propagation: string,
  ) {}

  async run(program: string): Promise<void> {
    await this.wire.start();
    writeFileSync(join(this.folder, 'key.pem'), this.censusKey.privatePem);
    const child = this.start(program, await closedPort());
    const texts = Promise.all(
      [child.stdout, child.stderr].map(async (stream) => (stream ? await text(stream) : '')),
    );
    const exit = once(child, 'exit');
    await this.sendAll(child);
    [this.exitCode] = (await exit) as [unknown];
    const [stdout = '', stderr = ''] = await texts;
    const pino = readFileSync(join(this.folder, 'pino.log'), 'utf8');
    this.output = { stdout, stderr, 'pino.log': pino };
    for (const sent of this.wire.takeAll()) {
      for (const token of valuesOf(sent, 'jwt')) this.keepToken('sent', token);
      for (const grant of valuesOf(sent, 'txn-token')) this.keepGrant(grant);
    }
    for (const secret of [this.censusKey, this.heraldKey].flatMap((key) => secretsOfKey(key))) {
      this.secrets.set(secret, 'key');
    }
  }

  async remove(): Promise<void> {
    this.child?.kill();
    await this.wire.close();
    rmSync(this.folder, { recursive: true });
  }

  filesOf(kind: Kind): string[] {
    return readdirSync(this.folder).filter((name) => name.startsWith(`${kind} `));
  }

  /** Which secrets and identities are in files or logs. */
  hitsIn(files: readonly string[]): Hit[] {
    const secrets = [...this.secrets].map(
      ([secret, what]) => [longestWordOf(secret), what] as const,
    );
    const hits = files.flatMap((file) => {
      const words = wordsOf(this.output[file] ?? readFileSync(join(this.folder, file), 'utf8'));
      return secrets
        .filter(([secret]) => words.some((word) => word.includes(secret)))
        .map(([, what]) => ({ what, file }));
    });
    return [...new Map(hits.map((hit) => [`${hit.what} ${hit.file}`, hit])).values()];
  }

  private start(program: string, closed: number): ChildProcess {
    const { FORCE_COLOR: _colour, ...env } = process.env;
    const { place, propagation, folder, heraldKey, wire } = this;
    const refused = `http://127.0.0.1:${closed}`;
    const child = fork(
      program,
      [place, propagation, folder, heraldKey.publicPem, wire.url, refused],
      { silent: true, timeout: 190_000, env: { ...env, NO_COLOR: '1' } },
    );
    child.on('message', (message: Told | string) => {
      if (message === 'release') for (const response of this.held.splice(0)) response.end('{}');
      if (typeof message === 'object' && 'shown' in message) {
        this.shown.set(message.shown, message.by);
      }
    });
    this.child = child;
    return child;
  }

  private async sendAll(child: ChildProcess): Promise<void> {
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    const ways = this.propagation === 'ambient' ? [...WAYS, 'ambient'] : WAYS;
    for (const way of ways) {
      await this.send(port, `/print/${way}`, 200);
      for (const failure of FAILURES) await this.send(port, `/fail/${failure}/${way}`, 500);
      await this.send(port, `/leave/${way}`, 201);
      await this.order(child, 'later', 'unhandled');
    }
    await this.send(port, '/careless', 500);
    await this.send(port, '/print/uri', 401, { bdy: 'f'.repeat(64) });
    await this.send(port, '/leave/around', 201);
    await this.order(child, 'finish', 'finished');
    child.send('later');
  }

  private async order(child: ChildProcess, order: string, reply: string): Promise<void> {
    const replied = new Promise<void>((resolve) => {
      const onMessage = (message: unknown): void => {
        if (message !== reply) return;
        child.off('message', onMessage);
        resolve();
      };
      child.on('message', onMessage);
    });
    child.send(order);
    await replied;
  }

  private async send(port: number, target: string, expected: number, claims = {}): Promise<void> {
    const canary = (name: string): string => `canary-of-${name}-${randomUUID()}`;
    const body = JSON.stringify({ amount: 7 });
    const contentType = 'application/json';
    const subject = `${CENSUS}user/${canary('subject')}/`;
    const grant = this.grantFor(subject);
    const jwt = strictToken({
      key: this.heraldKey,
      issuer: HERALD,
      audience: CENSUS,
      subject,
      method: 'POST',
      target,
      body,
      contentType,
      claims: {
        jti: canary('id'),
        tenant: canary('claim'),
        at: { depth: [canary('claim')] },
        tth: createHash('sha256').update(grant).digest('base64url'),
        ...claims,
      },
    });
    this.keepToken('received', jwt);
    this.keepGrant(grant);
    const headers = { jwt, 'txn-token': grant, 'content-type': contentType };
    const request = { target, headers, body };
    const status = await (this.place === 'http2' ? sendHttp2 : sendHttp1)(port, request);
    if (status !== expected) this.unexpected.push(`${target}: ${status}`);
  }

  private grantFor(subject: string): string {
    const iat = Math.floor(Date.now() / 1000);
    const times = { iat, exp: iat + 300 };
    const about = { iss: EDGE, aud: TRUST_DOMAIN, sub: subject, req_wl: EDGE };
    const payload = { ...about, ...times, txn: randomUUID(), scope: 'user-present' };
    const { algorithm, keyId } = this.heraldKey;
    return forge({ alg: algorithm, kid: keyId, typ: 'txntoken+jwt' }, payload, this.heraldKey);
  }

  private keepGrant(grant: string): void {
    for (const segment of tellingSegments(grant.split('.').slice(1))) {
      this.secrets.set(segment, 'grant');
    }
  }

  private keepToken(direction: 'received' | 'sent', token: string): void {
    // The first segment says what kind of token it is, and is the same in all of them.
    for (const segment of tellingSegments(token.split('.').slice(1))) {
      this.secrets.set(segment, `${direction} token`);
    }
    const { sub, jti, bdy, ...others } = decodeClaims(token);
    const canaries = stringsIn(others, false).filter((text) => text.startsWith('canary-'));
    const named = { subject: [sub], 'token id': [jti], 'body hash': [bdy], claim: canaries };
    for (const [name, values] of Object.entries(named)) {
      for (const value of values) {
        if (typeof value === 'string') this.secrets.set(value, `${name} of a ${direction} token`);
      }
    }
  }
}

/** The different words that may hold a secret: what is printed says many things many times. */
function wordsOf(printed: string): string[] {
  return [...new Set(printed.match(/[\w+/=-]{20,}/g))];
}

function longestWordOf(secret: string): string {
  const [longest = ''] = wordsOf(secret).toSorted((a, b) => b.length - a.length);
  if (longest === '') throw new Error('A secret is too short to be found.');
  return longest;
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

async function sendHttp1(port: number, request: Posted): Promise<number> {
  return (await call(port, { method: 'POST', ...request })).status;
}

async function sendHttp2(port: number, { target, headers, body }: Posted): Promise<number> {
  const session = connect(`http://127.0.0.1:${port}`);
  const stream = session.request({ ':method': 'POST', ':path': target, ...headers });
  stream.end(body);
  const [answer] = (await once(stream, 'response')) as [{ ':status'?: number }];
  stream.resume();
  await once(stream, 'close');
  session.close();
  return answer[':status'] ?? 0;
}
