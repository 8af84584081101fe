import { once } from 'node:events';
import { createSecureServer, type Http2SecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { AxiosRequestConfig } from 'axios';
import { Agent, fetch as fetchOfUndici } from 'undici';
import { ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { FETCHES, FetchingService } from '../support/services/fetching-service.js';
import { createKey } from '../support/keys/keys.js';
import { decodeClaims } from '../support/tokens/forge.js';
import { startCensus } from '../support/services/receiving-service.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { selfSign } from '../support/keys/self-signed.js';
import { FROM_HERALD, refusalOf, SendingService } from '../support/services/sending-service.js';
import { ADAPTERS, type TestService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

/** Headers that choose handlers, and that clients set themselves where the caller does not. */
const signedHeaders = ['accept', 'accept-language', 'host'];
const OWN = { accept: 'application/json;v=2', 'accept-language': 'cs' };
const OWN_HOST = { host: 'a.census.service' };

type Send = (url: string, headers: Record<string, string>) => Promise<number>;

interface Client {
  readonly name: string;
  /** Starts a sender to these targets. */
  readonly start: (targets: string[]) => Promise<{ send: Send; close(): Promise<void> }>;
}

const CLIENTS: readonly Client[] = [
  ...FETCHES.map(({ name, module }) => ({
    name,
    start: async (targets: string[]) => {
      const service = await FetchingService.start(targets, { signedHeaders }, module);
      const send: Send = async (url, headers) => (await service.send(url, { headers })).status;
      return { send, close: async () => await service.close() };
    },
  })),
  {
    name: 'fetch with a Request',
    start: async (targets: string[]) => {
      const service = await FetchingService.start(targets, { signedHeaders });
      const send: Send = async (url, headers) =>
        (await service.send(new Request(url, { headers }))).status;
      return { send, close: async () => await service.close() };
    },
  },
  ...(['http', 'fetch'] as const).map((adapter) => ({
    name: `axios through the ${adapter} adapter`,
    start: async (targets: string[]) => {
      const service = await SendingService.start(targets, { signedHeaders });
      const send: Send = async (url, headers) =>
        (await service.send({ url, headers, adapter })).status;
      return { send, close: async () => await service.close() };
    },
  })),
];

describe.each(CLIENTS)('OS-24 by $name', ({ start }) => {
  const wire = new RecordingServer();
  let censuses: TestService[];
  let sender: Awaited<ReturnType<Client['start']>>;
  beforeAll(async () => {
    await wire.start();
    censuses = await Promise.all(
      ADAPTERS.map(
        async (adapter) => await startCensus(adapter, { requiredHeaders: signedHeaders }),
      ),
    );
    sender = await start([wire.url, ...censuses.map(({ url }) => url)]);
  });
  afterAll(async () => {
    await Promise.all([sender.close(), wire.close(), ...censuses.map((one) => one.close())]);
  });

  it.each<[string, Record<string, string>]>([
    ['left to the client', {}],
    ['of the caller', OWN],
  ])('what is signed is what is sent, and accepted: %s', async (_name, headers) => {
    await sender.send(`${wire.url}/x?y`, headers);
    const recorded = wire.takeOne();
    checkStrict(recorded, { ...FROM_HERALD, signedHeaders });
    for (const [name, value] of Object.entries(headers)) {
      expect(valuesOf(recorded, name)).toEqual([value]);
    }
    expect(valuesOf(recorded, 'accept')).toHaveLength(1);
    for (const { url } of censuses) expect(await sender.send(`${url}/x?y`, headers)).toBe(200);
  });
});

describe.each(FETCHES)('OS-25 by $name', ({ module }) => {
  const wire = new RecordingServer();
  beforeAll(async () => void (await wire.start()));
  afterAll(async () => await wire.close());

  it('a host of the caller is refused before anything is sent where the host is signed', async () => {
    const service = await FetchingService.start([wire.url], { signedHeaders }, module);
    expect(await refusalOf(service.send(wire.url, { headers: OWN_HOST }))).toBe(
      'header_unsignable',
    );
    expect(wire.takeAll()).toEqual([]);
    const { host } = new URL(wire.url);
    expect((await service.send(wire.url, { headers: { host } })).status).toBe(200);
    checkStrict(wire.takeOne(), { ...FROM_HERALD, signedHeaders });
    await service.close();
  });

  it('a host of the caller is dropped by fetch where it is not', async () => {
    const service = await FetchingService.start([wire.url], {}, module);
    expect((await service.send(wire.url, { headers: OWN_HOST })).status).toBe(200);
    expect(valuesOf(wire.takeOne(), 'host')).toEqual([new URL(wire.url).host]);
    await service.close();
  });
});

describe('OS-24 by axios', () => {
  const wire = new RecordingServer();
  let herald: SendingService;
  beforeAll(async () => {
    await wire.start();
    herald = await SendingService.start([wire.url, 'http://census.service'], { signedHeaders });
  });
  afterAll(async () => {
    await Promise.all([herald.close(), wire.close()]);
  });

  it.each<[string, AxiosRequestConfig]>([
    ['an Accept that the caller takes away', { headers: { Accept: false } }],
    ['the same, through fetch', { headers: { Accept: false }, adapter: 'fetch' }],
    ['a Host of the caller', { headers: OWN_HOST }],
    ['a Host in capitals', { headers: { HOST: OWN_HOST.host } }],
  ])('%s', async (_name, config) => {
    await herald.send({ url: wire.url, ...config });
    checkStrict(wire.takeOne(), { ...FROM_HERALD, signedHeaders });
  });

  it('a socket path', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'socket-'));
    const socketPath = join(folder, 'census');
    const hosts: unknown[] = [];
    const server = createServer(({ rawHeaders, headers }, response) => {
      const token = rawHeaders[rawHeaders.findIndex((name) => name.toLowerCase() === 'jwt') + 1];
      hosts.push(headers.host, decodeClaims(token ?? '')['hdr']);
      response.end('{}');
    }).listen(socketPath);
    await once(server, 'listening');
    await herald.send({ url: 'http://census.service/x', socketPath });
    expect(hosts).toEqual(['census.service', expect.objectContaining({ host: 'census.service' })]);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true });
  });
});

describe('OS-24 over HTTP/2', () => {
  const key = createKey();
  const cert = selfSign(key, { name: 'localhost' });
  let server: Http2SecureServer;
  let herald: FetchingService;
  let url: string;
  const received: { authority: unknown; hdr: unknown }[] = [];
  beforeAll(async () => {
    server = createSecureServer({ key: key.privatePem, cert }, (request, response) => {
      const { ':authority': authority, jwt } = request.headers;
      received.push({ authority, hdr: decodeClaims(String(jwt))['hdr'] });
      response.end(request.httpVersion);
    }).listen(0, 'localhost');
    await once(server, 'listening');
    url = `https://localhost:${(server.address() as AddressInfo).port}`;
    const dispatcher = new Agent({ allowH2: true, connect: { ca: cert } });
    const send: typeof fetchOfUndici = async (input, init) =>
      await fetchOfUndici(input, { ...init, dispatcher });
    herald = await FetchingService.start(
      [url],
      { signedHeaders: ['host'] },
      ServiceFetchModule.register({ fetch: send }),
    );
  });
  afterAll(async () => {
    await herald.close();
    server.close();
  });

  it('the authority is signed as it is sent', async () => {
    const { text } = await herald.send(`${url}/x`);
    expect(text).toBe('2.0');
    const { host } = new URL(url);
    expect(received.splice(0)).toEqual([{ authority: host, hdr: { host } }]);
  });
});
