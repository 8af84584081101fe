import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import type { Server, ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { Controller, Get, Post, UseGuards } from '@nestjs/common';
import { ServiceAuthModule, ServiceJwtGuard, type TrustedIssuerOptions } from 'nestjs-service-auth';
import { createServiceAuth, type ServiceAuth } from 'nestjs-service-auth/core';
import { type Answer, call, type Call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { readBlocks } from './page-blocks.mjs';

/** Inside of the project, where imports are found; hidden, so that nothing else takes it for a source. */
const FOLDER = join(import.meta.dirname, '.without-nest');
const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const UNREACHABLE = 'https://unreachable.service/';
const USER = `${CENSUS}user/21/`;
const MEBIBYTE = 1024 * 1024;

type CreateCensus = (trustedIssuers: TrustedIssuerOptions[]) => Promise<Server>;

/** The server of the page, as a reader would copy it. */
async function importServer(): Promise<CreateCensus> {
  const block = readBlocks('docs/without-nest.md').find(({ file }) => file === 'census.ts');
  mkdirSync(FOLDER, { recursive: true });
  const file = join(FOLDER, 'census.ts');
  writeFileSync(file, block?.code ?? '');
  const { createCensus } = (await import(file)) as { createCensus: CreateCensus };
  return createCensus;
}

@Controller('user')
@UseGuards(ServiceJwtGuard)
class UserController {
  @Get()
  list() {
    return 'Hello';
  }

  @Post()
  create() {
    return 'Hello';
  }
}

describe('the server of docs/without-nest.md', () => {
  const key = createKey();
  const trustedIssuers: TrustedIssuerOptions[] = [
    { issuer: HERALD, publicKey: key.publicPem, subjects: [`${CENSUS}user/`] },
    // Nothing listens there.
    { issuer: UNREACHABLE, jwksUri: 'http://127.0.0.1:9/jwks.json' },
  ];
  let server: Server;
  let port: number;
  const senders = new Map<string, ServiceAuth>();
  const guarded = new Map<string, TestService>();

  beforeAll(async () => {
    const createCensus = await importServer();
    server = await createCensus(trustedIssuers);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ({ port } = server.address() as AddressInfo);
    for (const issuer of [HERALD, UNREACHABLE]) {
      const signingKey = { privateKey: key.privatePem };
      senders.set(
        issuer,
        await createServiceAuth({ issuer, signingKey, targets: [{ baseUrl: CENSUS }] }),
      );
    }
    for (const adapter of ADAPTERS) {
      const imports = [ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers })];
      guarded.set(adapter, await startService({ adapter, imports, controllers: [UserController] }));
    }
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    for (const sender of senders.values()) sender.close();
    for (const service of guarded.values()) await service.close();
    rmSync(FOLDER, { recursive: true, force: true });
  });

  const signed = async (body: Uint8Array, subject = USER, issuer = HERALD): Promise<Call> => {
    const headers = { 'content-type': 'text/plain' };
    const token = await senders.get(issuer)?.sign({
      method: 'POST',
      url: `${CENSUS}user`,
      headers,
      body,
      subject,
    });
    return { method: 'POST', target: '/user', headers: { ...headers, JWT: token }, body };
  };
  const BYTES = Buffer.from('some bytes');

  it('answers 200 to what was signed, up to the limit', async () => {
    for (const body of [BYTES, Buffer.alloc(0), Buffer.alloc(MEBIBYTE)]) {
      const { status, text, headers } = await call(port, await signed(body));
      expect([status, text]).toEqual([200, `Hello ${USER}`]);
      expect(headers).toMatchObject({ vary: 'JWT', 'cache-control': 'private' });
    }
  });

  const REFUSED: [status: number, code: string, makeCall: () => Promise<Call>][] = [
    [401, 'token_missing', async () => await Promise.resolve({ target: '/user' })],
    [401, 'body_mismatch', async () => ({ ...(await signed(BYTES)), body: 'other bytes' })],
    [403, 'subject_not_allowed', async () => await signed(BYTES, `${CENSUS}admin/1/`)],
    [503, 'key_unavailable', async () => await signed(BYTES, USER, UNREACHABLE)],
  ];
  const AS_THE_GUARD = ['vary', 'cache-control', 'content-type', 'www-authenticate'];
  const expectRefusal = (answer: Answer, status: number, code: string): void => {
    expect(answer).toMatchObject({ status, code });
    expect(/^\d+$/.test(answer.headers['retry-after'] ?? '')).toBe(status === 503);
    expect(answer.headers['www-authenticate']?.includes(`realm="${CENSUS}"`)).toBe(
      status === 401 ? true : undefined,
    );
  };

  it.each(REFUSED)('answers %i %s as the guard does', async (status, code, makeCall) => {
    const answer = await call(port, await makeCall());
    expectRefusal(answer, status, code);
    for (const service of guarded.values()) {
      const other = await call(service.port, await makeCall());
      expectRefusal(other, status, code);
      expect(answer.json).toEqual(other.json);
      for (const name of AS_THE_GUARD) {
        expect([name, answer.headers[name]]).toEqual([name, other.headers[name]]);
      }
    }
  });

  /** Sends a head that announces more than comes, and some of it. */
  const upload = (bytes: number) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`POST /user HTTP/1.1\r\nHost: census\r\nContent-Length: ${2 * MEBIBYTE}\r\n\r\n`);
    socket.write(Buffer.alloc(bytes));
    return socket;
  };

  it('answers 413 to a body over the limit, before its end, and closes the connection', async () => {
    const socket = upload(MEBIBYTE + 1);
    let text = '';
    socket.on('data', (bytes: Buffer) => (text += bytes.toString()));
    await once(socket, 'close');
    expect(text).toMatch(/^HTTP\/1\.1 413 /);
    expect(text).toMatch(/^Connection: close\r$/m);
    expect(text).toContain('"code":"body_unverifiable"');
  });

  it('answers nobody where an upload is aborted, and serves the next request', async () => {
    const responding = once(server, 'request') as Promise<[unknown, ServerResponse]>;
    const socket = upload(BYTES.length);
    const [, response] = await responding;
    const closed = once(response, 'close');
    socket.destroy();
    await closed;
    expect((await call(port, await signed(BYTES))).status).toBe(200);
    expect(response.writableEnded).toBe(true);
  });
});
