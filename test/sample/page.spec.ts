import { once } from 'node:events';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { createServer as createHttpServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { jest } from '@jest/globals';
import type { AttemptResult } from '../../sample/page/attempt.service.js';
import { ATTEMPTS } from '../../sample/page/attempts.js';
import { curlOf, type CurlCommand } from '../../sample/page/curl.js';
import type { State } from '../../sample/page/state.service.js';
import type { StoryResult } from '../../sample/page/story.service.js';
import { call } from '../support/http/http.js';
import { type PageProcess, startPageProcess } from './page-process.js';

// A busy machine is no failure: the browser, and the processes of the sample, take their time there.
jest.setTimeout(600_000);

const OPERATOR = 'https://census.service/user/21/';
const BODIES = ['42', '7'].map(
  (user) => `{"user":"https://census.service/user/${user}/","type":"welcome-message"}`,
) as [string, string];
const HASHES = BODIES.map((body) => createHash('sha256').update(body).digest('hex')) as [
  string,
  string,
];
/** Who signs for whom, on the way of a mail. */
const MAIL_TOKENS = [
  ['https://herald.service/', 'https://courier.service/'],
  ['https://courier.service/', 'https://census.service/'],
];
const OUTCOMES = ATTEMPTS.map(({ id, expected }) => [id, expected] as const);

let taken: Server;
let page: PageProcess;

beforeAll(async () => {
  taken = createServer();
  await once(taken.listen(0, '127.0.0.1'), 'listening');
  page = await startPageProcess(takenPort());
});
afterAll(() => {
  page.remove();
  taken.close();
});

function takenPort(): number {
  return (taken.address() as AddressInfo).port;
}

describe('the page', () => {
  it('takes the next free port when the one it should have is taken, and says so', () => {
    expect(page.port).toBeGreaterThan(takenPort());
    expect(page.printed()).toContain(
      `Port ${takenPort()} (PAGE_PORT) is taken: the page is at ${page.port} instead.`,
    );
    expect(page.printed()).toContain('Ctrl-C stops them');
  });

  it('is reached on 127.0.0.1 alone', async () => {
    const reach = async (host: string): Promise<boolean> => {
      const socket = connect(page.port, host);
      const isReached = await once(socket, 'connect').then(
        () => true,
        () => false,
      );
      socket.destroy();
      return isReached;
    };
    expect(await reach('127.0.0.1')).toBe(true);
    expect(await reach('127.0.0.2')).toBe(false);
  });

  it.each([
    ['its address', (port: number) => `127.0.0.1:${port}`, 200],
    ['localhost', (port: number) => `localhost:${port}`, 200],
    ['a name that somebody points here', (port: number) => `evil.example:${port}`, 403],
    ['another port', (port: number) => `127.0.0.1:${port + 1}`, 403],
    ['its address and no port', () => '127.0.0.1', 403],
  ])('answers to %s', async (_name, hostAt, status) => {
    for (const target of ['/', '/main.js', '/api/world', '/read/README.md']) {
      const headers = { host: hostAt(page.port) };
      expect(await call(page.port, { target, headers })).toMatchObject({ status });
    }
  });

  it.each([
    ['its own origin', (url: string) => ({ origin: url.slice(0, -1) }), 200],
    ['another origin', () => ({ origin: 'https://evil.example' }), 403],
    ['the origin of a file', () => ({ origin: 'null' }), 403],
    ['no origin', () => ({}), 403],
  ])('is told what to do by %s', async (_name, headersAt, status) => {
    const headers = { 'content-type': 'application/json', ...headersAt(page.url) };
    const body = JSON.stringify({ id: 'missing' });
    const request = { method: 'POST', target: '/api/attempts', headers, body };
    expect(await call(page.port, request)).toMatchObject({ status });
  });

  it.each<[string, unknown, number]>([
    ['as it should be', { id: 'body', input: '{}' }, 200],
    ['of another name', { id: 'constructor' }, 400],
    ['without a name', {}, 400],
    ['that is no object', null, 400],
    ['with input where none is taken', { id: 'missing', input: 'x' }, 400],
    ['with input that is no text', { id: 'body', input: { length: 1 } }, 400],
    ['with too much input', { id: 'body', input: 'x'.repeat(1001) }, 400],
    ['as large as nobody asked for', { id: 'body', input: 'x'.repeat(5000) }, 413],
    ['with another path', { id: 'path', input: '/notification' }, 200],
    ['with a path of another kind', { id: 'path', input: '/.well-known/jwks.json' }, 400],
    ['with a path on another host', { id: 'path', input: '//evil.example/notification/' }, 400],
    ['with a path that climbs', { id: 'path', input: '/notification/../' }, 400],
    ['with another user', { id: 'user', input: 'https://census.service/user/42/' }, 200],
    ['with a user nobody knows', { id: 'user', input: 'https://evil.example/' }, 400],
  ])('takes or refuses an attempt %s', async (_name, content, status) => {
    expect(await page.post('/api/attempts', content)).toMatchObject({ status });
  });

  it('takes no form', async () => {
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      origin: page.url.slice(0, -1),
    };
    const request = { method: 'POST', target: '/api/attempts', headers, body: 'id=missing' };
    expect(await call(page.port, request)).toMatchObject({ status: 400 });
  });

  it('lets the browser load nothing from elsewhere, and nobody frame it', async () => {
    const { headers } = await call(page.port, { target: '/' });
    const policy = String(headers['content-security-policy']).split('; ');
    expect(policy).toEqual(
      expect.arrayContaining(["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]),
    );
    expect(policy.join()).not.toMatch(/unsafe|https?:|\*/);
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff' });
  });

  it.each([
    ['21', 201, 12, MAIL_TOKENS],
    ['7', 403, 8, []],
  ])('plays the story for user %s', async (user, status, steps, mailTokens) => {
    const as = `https://census.service/user/${user}/`;
    const answer = await page.post('/api/story', { as });
    const story = answer.json as unknown as StoryResult;
    expect(story.steps).toHaveLength(steps);
    const last = story.steps.find(({ to }) => to === 'you');
    expect(last).toMatchObject({ from: 'edge', kind: 'answer', status });
    const tokens = story.steps.flatMap(({ token }) => token ?? []);
    expect(tokens.map(({ claims }) => [claims?.['iss'], claims?.['aud'], claims?.['sub']])).toEqual(
      [
        ['https://edge.service/', 'https://another.service/', as],
        ['https://another.service/', 'https://herald.service/', as],
        ['https://herald.service/', 'https://census.service/', as],
        ...mailTokens.map((names) => [...names, as]),
      ],
    );
    const grants = tokens.map(({ grant }) => grant);
    expect(grants[0]).toMatchObject({ iss: 'https://edge.service/', sub: as });
    expect(grants).toEqual(tokens.map(() => grants[0]));
    expect(answer.text).not.toContain('PRIVATE KEY');
  });

  it.each([`${OPERATOR}x`, 'https://census.service/user/42/'])(
    'plays no story for %s, who cannot log in',
    async (as) => {
      expect(await page.post('/api/story', { as })).toMatchObject({ status: 400 });
    },
  );

  it.each(OUTCOMES)('gets the stated answer to the attempt %s', async (id, expected) => {
    const { status, json, text } = await page.post('/api/attempts', { id });
    expect(status).toBe(200);
    const { exchanges } = json as unknown as AttemptResult;
    const last = exchanges.at(-1);
    expect([last?.answer?.status, last?.answer?.code].filter(Boolean).join(' ')).toBe(expected);
    expect(text).not.toMatch(/PRIVATE KEY|"d":/);
  });

  it.each<[string, readonly [string, string, string][]]>([
    [
      'body',
      [
        ['SHA-256 of the body (bdy)', HASHES[0], HASHES[1]],
        ['The body', BODIES[0], BODIES[1]],
      ],
    ],
    [
      'path',
      [['Method and target (req)', 'POST /notification/', 'POST /notification/?copy=everybody']],
    ],
    ['content-type', [['Content-Type (hdr)', 'application/json', 'text/plain']]],
    ['audience', [['Called service (aud)', 'https://census.service/', 'https://herald.service/']]],
    ['user', [['Claim sub', 'https://census.service/user/7/', 'https://census.service/user/21/']]],
    ['algorithm', [['Algorithm (alg)', 'ES256', 'none']]],
    ['untouched', []],
  ])('sets what the attempt %s differs in side by side', async (id, expected) => {
    const { json } = await page.post('/api/attempts', { id });
    const last = (json as unknown as AttemptResult).exchanges.at(-1);
    const shown = last?.differences.map(({ what, left, right }) => [what, left.text, right.text]);
    expect(shown).toEqual(expected);
  });

  it('gives a command for curl that is accepted once, and refused as a replay after that', async () => {
    const { json } = await page.post('/api/curl', { id: 'untouched' });
    const { command, expiresAtSeconds } = json as unknown as CurlCommand;
    expect(expiresAtSeconds).toBeGreaterThan(Date.now() / 1000);
    expect(runInShell(command)).toContain('HTTP/1.1 201');
    expect(runInShell(command)).toContain('"code":"token_replayed"');
  });

  it('gives a command for each request of a replay', async () => {
    const { json } = await page.post('/api/curl', { id: 'replay' });
    const output = runInShell((json as unknown as CurlCommand).command);
    expect(output.match(/^HTTP\/1.1 \d+/gm)).toEqual(['HTTP/1.1 201', 'HTTP/1.1 401']);
  });

  it('quotes what a shell would read as its own', async () => {
    const body = `it's "$HOME" \`id\` \\ !\n`;
    const server = createHttpServer((request, response) => {
      void text(request).then((received) => response.end(JSON.stringify({ received })));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/`;
    const { command } = curlOf([{ method: 'POST', url, headers: { 'x-a': "it's" }, body }]);
    const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'ignore'] });
    expect(await text(child.stdout)).toContain(JSON.stringify({ received: body }));
    server.close();
  });

  it.each([
    ['README.md', 200],
    ['docs/protocol.md', 200],
    ['lib/nest/service-jwt.guard.ts', 200],
    ['package.json', 404],
    ['docs/%2e%2e/package.json', 404],
    ['../../../etc/passwd', 404],
  ])('serves %s as text, or not', async (path, status) => {
    const answer = await call(page.port, { target: `/read/${path}` });
    expect(answer.status).toBe(status);
    if (status === 200) expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8');
  });

  it('says of each service that it is up, and which keys it publishes', async () => {
    const { json } = await call(page.port, { target: '/api/state' });
    const { services, censusKnows } = json as unknown as State;
    expect(services.map(({ name, state, keyIds }) => [name, state, keyIds?.length])).toEqual([
      ['edge', 'up', 1],
      ['another', 'up', 1],
      ['herald', 'up', 1],
      ['census', 'up', 0],
      ['courier', 'up', 1],
    ]);
    expect(censusKnows).toEqual(services[2]?.keyIds);
  });

  it.each([
    [{ id: 'user', action: 'call', choice: OPERATOR }, 200],
    [{ id: 'user', action: 'call', choice: 'https://evil.example/' }, 400],
    [{ id: 'user', action: 'constructor', choice: OPERATOR }, 400],
    [{ id: 'service', action: 'start', choice: 'census' }, 200],
    [{ id: 'service', action: 'start', choice: 'legacy' }, 400],
    [{ id: 'service', action: 'start' }, 400],
    [{ id: 'rotation', action: 'withdraw' }, 409],
    [{ id: 'mail', action: 'begun' }, 200],
    [{ id: 'mail', action: 'constructor' }, 400],
    [{ id: {}, action: 'call' }, 400],
  ])('turns a switch, or refuses %j', async (turn, status) => {
    expect(await page.post('/api/switches', turn)).toMatchObject({ status });
  });
});

function runInShell(command: string): string {
  return execFileSync('sh', ['-c', command], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

describe('at Ctrl-C', () => {
  it('ends, and the page with it', async () => {
    expect(await page.interrupt()).toBe(0);
    expect(page.printed()).toMatch(/\nStopped: no service and no server is left\.\n$/);
    await expect(call(page.port, { target: '/' })).rejects.toThrow('ECONNREFUSED');
  });
});
