import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { All, Body, Controller, Get, HttpCode, Req, UseGuards } from '@nestjs/common';
import {
  AllowIssuers,
  RequireSubject,
  RequireSubjectProof,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  ServiceGrant,
  type ServiceIdentity,
  ServiceJwtGuard,
  type VerifiedGrant,
} from 'nestjs-service-auth';
import {
  createServiceAuth,
  type RefusalCode,
  REFUSALS,
  SIGNING_FAILURES,
} from 'nestjs-service-auth/core';
import { type Ran, runProgram, temporaryFolder } from './command-line.js';
import { createKey } from '../support/keys/keys.js';
import {
  ADAPTERS,
  type Adapter,
  startService,
  type TestService,
} from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const VETERAN = 'https://veteran.service/';
const LOST = 'https://lost.service/';
const USER = 'https://census.service/user/21/';
const key = createKey();
const otherKey = createKey();

const folder = temporaryFolder();
const keyFile = folder.path('herald.pem');
const otherKeyFile = folder.path('other.pem');
writeFileSync(keyFile, key.privatePem);
writeFileSync(otherKeyFile, otherKey.privatePem);
afterAll(() => folder.remove());

@Controller()
@UseGuards(ServiceJwtGuard)
class EverythingController {
  @Get('for-users')
  @RequireSubject()
  forUsers() {
    return 'for a user';
  }

  @Get('for-veterans')
  @AllowIssuers(VETERAN)
  forVeterans() {
    return 'for veterans';
  }

  @Get('echo')
  @HttpCode(200)
  echo(@Req() request: { headers: Record<string, string> }) {
    return request.headers;
  }

  @Get('proved')
  @RequireSubjectProof()
  proved(@ServiceGrant() grant: VerifiedGrant, @ServiceCaller() { subject }: ServiceIdentity) {
    return { subject, originator: grant.originator, scopes: grant.scopes };
  }

  @All('*')
  @HttpCode(200)
  answer(@ServiceCaller() { issuer, subject, profile }: ServiceIdentity, @Body() body: unknown) {
    return { issuer, subject: subject ?? null, profile, body: body ?? null };
  }
}

async function startCensus(
  adapter: Adapter,
  options: Partial<ServiceAuthModuleOptions> = {},
): Promise<TestService> {
  return await startService({
    adapter,
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        trustedIssuers: [
          { issuer: HERALD, publicKey: key.publicPem, subjects: ['https://census.service/user/'] },
          { issuer: VETERAN, publicKey: key.publicPem, profile: 'original' },
          { issuer: LOST, jwksUri: 'http://127.0.0.1:9/jwks.json' },
        ],
        userResolver: { resolveUser: (subject) => (subject === USER ? { id: 21 } : null) },
        requiredHeaders: ['idempotency-key'],
        maxBufferedBodyBytes: 1024,
        ...options,
      }),
    ],
    controllers: [EverythingController],
    configure: (app) => {
      if (adapter === 'fastify') leaveOtherBodiesUnread(app);
    },
  });
}

/** What Express does by itself: a body that no parser takes is left for the guard. */
function leaveOtherBodiesUnread(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addContentTypeParser('*', (_request, _payload, done) => done(null));
}

/** What every call has, and rows change. */
const BASE = { '--issuer': HERALD, '--key': keyFile, '--audience': CENSUS, '--as': USER };

function argsOf(changes: Record<string, string | undefined>): string[] {
  const entries = Object.entries({ ...BASE, ...changes });
  return entries.flatMap(([name, value]) => (value === undefined ? [] : [name, value]));
}

/** What `explain` says about each code. */
const hints = new Map<string, string>();
beforeAll(async () => {
  const { json } = await runProgram(['explain', '--json']);
  const { codes } = json as { codes: { code: string; hint: string }[] };
  for (const { code, hint } of codes) hints.set(code, hint);
});

describe.each(ADAPTERS)('call, on %s', (adapter) => {
  let census: TestService;
  let early: TestService;
  let late: TestService;
  let behindGateway: TestService;
  beforeAll(async () => {
    const shifted = (seconds: number) => ({ now: () => Date.now() + seconds * 1000 });
    census = await startCensus(adapter);
    early = await startCensus(adapter, shifted(-600));
    late = await startCensus(adapter, shifted(600));
    behindGateway = await startCensus(adapter, { publicPathPrefix: '/census' });
  });
  afterAll(async () => {
    for (const service of [census, early, late, behindGateway]) await service.close();
  });

  const call = async (
    target: string,
    changes: Record<string, string | undefined> = {},
    ...more: string[]
  ): Promise<Ran> =>
    await runProgram(['call', `${census.url}${target}`, ...argsOf(changes), ...more]);

  it('prints the answer, and says the rest on standard error', async () => {
    const ran = await call('/user/42?full=1');
    expect(ran.code).toBe(0);
    expect(ran.json).toEqual({ issuer: HERALD, subject: USER, profile: 'strict', body: null });
    expect(ran.stderr).toBe('HTTP 200\n');
  });

  it('sends a body that is typed, in a file, or on standard input', async () => {
    const data = '{"name":"Ada"}';
    const file = folder.path('user.json');
    writeFileSync(file, data);
    const type = ['-H', 'Content-Type: application/json'];
    const post = async (input: string, written: string) => {
      const args = ['call', `${census.url}/user`, ...argsOf({ '--data': written }), ...type];
      return (await runProgram(args, { input })).json;
    };
    for (const written of [data, `@${file}`, '@-']) {
      expect(await post(data, written)).toMatchObject({ subject: USER, body: { name: 'Ada' } });
    }
  });

  it('prints JSON of a stable shape', async () => {
    const { json, code, stderr } = await call('/user/42', {}, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(json).toEqual({
      status: 200,
      headers: expect.objectContaining({
        vary: expect.stringContaining('JWT') as string,
      }) as object,
      body: expect.stringContaining(HERALD) as string,
      bodyEncoding: 'utf8',
      refusal: null,
    });
  });

  it('calls for the service itself, and in the original profile', async () => {
    expect((await call('/thing', { '--as': undefined })).json).toMatchObject({ subject: null });
    const original = { '--issuer': VETERAN, '--profile': 'original' };
    expect((await call('/thing', original)).json).toMatchObject({ profile: 'original' });
  });

  const REFUSED: [
    code: RefusalCode,
    target: string,
    changes: Record<string, string | undefined>,
  ][] = [
    ['issuer_unknown', '/thing', { '--issuer': 'https://stranger.service/' }],
    ['audience_mismatch', '/thing', { '--audience': 'https://other.service/' }],
    ['key_unknown', '/thing', { '--key': otherKeyFile }],
    ['signature_invalid', '/thing', { '--key': otherKeyFile, '--key-id': key.keyId }],
    ['header_invalid', '/thing', { '--profile': 'original' }],
    ['header_mismatch', '/thing', { '--header': 'Idempotency-Key: 1' }],
    ['subject_missing', '/for-users', { '--as': undefined }],
    ['subject_not_allowed', '/thing', { '--as': 'https://other.service/user/21/' }],
    ['subject_unknown', '/thing', { '--as': 'https://census.service/user/22/' }],
    ['issuer_not_allowed', '/for-veterans', {}],
    ['key_unavailable', '/thing', { '--issuer': LOST }],
    ['body_unverifiable', '/thing', { '--data': 'x'.repeat(2000), '--method': 'PUT' }],
  ];

  it.each(REFUSED)('says what to do about %s', async (code, target, changes) => {
    const hint = hints.get(code);
    const words = await call(target, changes);
    expect(words.code).toBe(1);
    expect(words.json).toMatchObject({ code });
    expect(words.stderr).toContain(`${code}: ${hint}\n`);
    const { json } = await call(target, changes, '--json');
    expect(json).toMatchObject({ refusal: { code, hint } });
  });

  it.each(REFUSED.filter(([code]) => code.startsWith('subject') || code.startsWith('header')))(
    'and is not refused with %s when it is done',
    async (code, target) => {
      const done =
        code === 'header_mismatch'
          ? ['-H', 'Idempotency-Key: 1', '--sign-header', 'Idempotency-Key']
          : [];
      expect((await call(target, {}, ...done)).code).toBe(0);
    },
  );

  it.each([
    ['token_expired', () => late],
    ['token_not_yet_valid', () => early],
    ['request_mismatch', () => behindGateway],
  ] as const)('says what to do about %s', async (code, service) => {
    const { json } = await runProgram(['call', `${service().url}/thing`, ...argsOf({}), '--json']);
    expect(json).toMatchObject({ refusal: { code, hint: expect.any(String) as string } });
  });

  it('takes who calls, the key and the targets from the options of a service', async () => {
    const config = folder.path(`${adapter}.options.mjs`);
    const options = {
      issuer: HERALD,
      signingKey: { keyFile },
      targets: [{ baseUrl: `${census.url}/`, audience: CENSUS }],
    };
    writeFileSync(config, `export default ${JSON.stringify(options)};`);
    const args = ['call', `${census.url}/thing`, '--config', config, '--as', USER];
    expect(await runProgram(args)).toMatchObject({ code: 0, json: { issuer: HERALD } });
    const elsewhere = await runProgram(['call', 'http://127.0.0.1:9/', '--config', config]);
    expect(elsewhere.code).toBe(2);
    expect(elsewhere.stderr).toContain('target_unknown');
  });

  it('prints the token only where it is asked to', async () => {
    const shown = await call('/thing', {}, '--show-token', '--json');
    const token = shown.json?.['token'];
    expect(token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    const inspected = await runProgram(['inspect', '-', '--key', keyFile, '--json'], {
      input: String(token),
    });
    expect(inspected).toMatchObject({ code: 0, json: { signature: 'valid', flaws: [] } });
    expect((await call('/thing', {}, '--show-token')).stderr).toMatch(
      /^JWT: [\w-]+\.[\w-]+\.[\w-]+\n/,
    );
    for (const ran of [await call('/thing', {}, '--include'), await call('/thing', {}, '--json')]) {
      expect(ran.stdout + ran.stderr).not.toMatch(/eyJ/);
    }
  });
});

describe('call, of a server of any kind', () => {
  let server: Server;
  let respond: RequestListener;
  let url: string;
  const received: { method: string | undefined; token: unknown }[] = [];
  beforeAll(async () => {
    server = createServer((request, response) => {
      received.push({ method: request.method, token: request.headers['jwt'] });
      respond(request, response);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });
  beforeEach(() => void received.splice(0));
  const call = async (...more: string[]) =>
    await runProgram(['call', `${url}/`, '--issuer', HERALD, '--key', keyFile, ...more]);

  it('does not follow a redirect with a token', async () => {
    respond = (_request, response) => response.writeHead(307, { location: `${url}/other` }).end();
    const ran = await call();
    expect(ran).toMatchObject({ code: 0, stdout: '' });
    expect(ran.stderr).toContain('not followed');
    expect(received).toHaveLength(1);
  });

  it('takes the token out of an answer that repeats it', async () => {
    respond = (request, response) => {
      const token = String(request.headers['jwt']);
      response.writeHead(200, { 'x-echo': token }).end(`you sent ${token}`);
    };
    const words = await call('--include');
    expect(words).toMatchObject({ code: 0, stdout: 'you sent [token]' });
    expect(words.stderr).toContain('x-echo: [token]\n');
    expect((await call('--json')).stdout).not.toContain('eyJ');
  });

  it('reads the code in the challenge where a gateway has replaced the body', async () => {
    const challenge = `JWT realm="${CENSUS}", error="token_replayed"`;
    respond = (_request, response) =>
      response.writeHead(401, { 'www-authenticate': challenge }).end('<h1>401</h1>');
    expect((await call('--json')).json).toMatchObject({ refusal: { code: 'token_replayed' } });
  });

  it('knows an error of somebody else from a refusal', async () => {
    respond = (_request, response) => response.writeHead(403).end('{"code":"toString"}');
    const ran = await call();
    expect(ran).toMatchObject({ code: 1, stdout: '{"code":"toString"}' });
    expect(ran.stderr).toContain('no refusal of a service token');
  });

  it('gives bytes on as they come', async () => {
    const bytes = Buffer.from([0xff, 0xfe, 0x00]);
    respond = (_request, response) => response.end(bytes);
    const { json } = await call('--json');
    expect(json).toMatchObject({ body: bytes.toString('base64'), bodyEncoding: 'base64' });
  });

  it('says so where nothing answers', async () => {
    respond = (request) => request.socket.destroy();
    const ran = await call('--json');
    expect(ran).toMatchObject({ code: 3, json: { error: { reason: 'impossible' } } });
  });

  it.each([
    ['a header that is none', ['-H', 'nonsense']],
    ['a token of its own', ['-H', 'JWT: abc']],
    ['a header twice', ['-H', 'A: 1', '-H', 'a: 2']],
    ['a header that no request carries', ['-H', 'a(b: 1']],
    ['a method that fetch does not send', ['-X', 'TRACE']],
    ['a body for GET', ['-X', 'GET', '--data', 'x']],
    ['a method that is none', ['-X', 'G T']],
    ['an issuer that is no URI', ['--issuer', 'herald']],
    ['a subject that is no URI', ['--as', 'ada']],
    ['no subject in the original profile', ['--profile', 'original']],
    ['a profile that does not exist', ['--profile', 'lax']],
    ['a timeout of no time', ['--timeout', '0']],
  ])('takes %s for a wrong command line, and sends nothing', async (_what, args) => {
    respond = (_request, response) => response.end();
    const ran = await call(...args);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(/^error: /);
    expect(received).toEqual([]);
  });

  it.each(['user/42', 'ftp://census.service/', 'http://ada:secret@census.service/'])(
    'takes the URL %s for a wrong command line, and quotes no credentials',
    async (wrong) => {
      const ran = await runProgram(['call', wrong, '--issuer', HERALD, '--key', keyFile]);
      expect(ran.code).toBe(2);
      expect(ran.stderr).not.toContain('secret');
    },
  );

  it('never quotes a key file that is no good', async () => {
    const bad = folder.path('bad.pem');
    writeFileSync(bad, 'canary-secret');
    const ran = await call('--key', bad);
    expect(ran.code).toBe(3);
    expect(ran.stderr).toMatch(/^error: --key: /);
    expect(ran.stderr).not.toContain(readFileSync(bad, 'utf8'));
  });
});

describe('explain', () => {
  it('has words for every code, and the status of each', async () => {
    const { json, code } = await runProgram(['explain', '--json']);
    expect(code).toBe(0);
    const { codes } = json as { codes: Record<string, unknown>[] };
    const ofKind = (wanted: string): Map<unknown, Record<string, unknown>> =>
      new Map(codes.filter(({ kind }) => kind === wanted).map((each) => [each['code'], each]));
    const tables = { refusal: REFUSALS, signing: SIGNING_FAILURES };
    for (const [kind, table] of Object.entries(tables)) {
      const explained = ofKind(kind);
      expect([...explained.keys()]).toEqual(Object.keys(table));
      for (const [name, { message, cause, hint }] of Object.entries(table)) {
        expect(explained.get(name)).toMatchObject({ message, cause, hint });
      }
    }
    const statuses = [...ofKind('refusal').values()].map(({ status }) => status);
    expect(statuses).toEqual(Object.values(REFUSALS).map(({ status }) => status));
    expect([...ofKind('setup').keys()]).toEqual(['config_error', 'usage_error']);
    expect(codes.filter(({ kind, status }) => kind !== 'refusal' && status !== null)).toEqual([]);
  });

  it('prints why, what to do and where to read on', async () => {
    const { cause, hint } = REFUSALS.key_unknown;
    const { stdout } = await runProgram(['explain', 'key_unknown']);
    for (const text of [cause, hint, 'docs/keys.md#rotation']) expect(stdout).toContain(text);
    const both = await runProgram(['explain', 'token_too_large']);
    expect(both.stdout).toMatch(
      /^token_too_large \(401\)$.*^token_too_large \(before sending\)$/ms,
    );
  });

  it.each(['admission_error', 'unexpected_error', 'usage_error'])(
    'knows %s, which the event request_failed and logs name',
    async (reason) => {
      const { json, code, stdout } = await runProgram(['explain', reason, '--json']);
      expect({ code, stdout }).toEqual({
        code: 0,
        stdout: expect.stringMatching(/error/i) as string,
      });
      const kind = reason === 'usage_error' ? 'setup' : 'event';
      expect(json).toMatchObject({ codes: [{ code: reason, kind, status: null }] });
    },
  );

  it('has none for others', async () => {
    expect(await runProgram(['explain', 'toString'])).toMatchObject({ code: 2, stdout: '' });
  });
});

describe.each(ADAPTERS)('call --grant, to a service on %s', (adapter) => {
  const EDGE = 'https://edge.service/';
  const trustDomain = 'https://prod.example.org/';
  const edgeKey = createKey();
  const grantFile = folder.path('grant.txt');
  const subjects = ['https://census.service/user/'];
  let census: TestService;
  let grant = '';

  beforeAll(async () => {
    census = await startCensus(adapter, {
      trustDomain,
      originators: [{ issuer: EDGE, publicKey: edgeKey.publicPem, subjects }],
      trustedIssuers: [
        { issuer: HERALD, publicKey: key.publicPem, subjects, subjectProof: { mode: 'off' } },
      ],
    });
    const edge = await createServiceAuth({
      issuer: EDGE,
      signingKey: { privateKey: edgeKey.privatePem },
      targets: [{ baseUrl: CENSUS }],
      trustDomain,
      originate: { subjects },
    });
    grant = await edge.issueGrant(USER, { scope: 'user:read' });
    edge.close();
    writeFileSync(grantFile, `Txn-Token: ${grant}\n`);
  });
  afterAll(async () => await census.close());

  const callProved = async (changes: Record<string, string | undefined>, input?: string) =>
    await runProgram(['call', `${census.url}/proved`, ...argsOf(changes)], { input: input ?? '' });
  const answer = { subject: USER, originator: EDGE, scopes: ['user:read'] };

  it('sends it, for its user, and prints it nowhere', async () => {
    const ways = [
      await callProved({ '--grant': grant, '--as': undefined }),
      await callProved({ '--grant': `@${grantFile}` }),
      await callProved({ '--grant': '@-' }, grant),
    ];
    for (const { code, json, stdout, stderr } of ways) {
      expect({ code, json }).toEqual({ code: 0, json: answer });
      expect(stdout + stderr).not.toContain(grant.split('.')[2]);
    }
  });

  it('says what to do about a refusal', async () => {
    const without = await callProved({});
    expect(without).toMatchObject({ code: 1 });
    expect(without.stderr).toContain(`grant_missing: ${REFUSALS.grant_missing.hint}`);
    const other = await callProved({ '--grant': grant, '--as': `${USER}friend/` });
    expect(other.stderr).toContain('grant_mismatch: ');
  });

  it('refuses what is no grant, and one among the headers', async () => {
    expect(await callProved({ '--grant': 'eyJ' })).toMatchObject({ code: 2, stdout: '' });
    const header = await callProved({ '--header': `Txn-Token: ${grant}` });
    expect(header).toMatchObject({ code: 2 });
    expect(header.stderr).toContain('--grant');
    expect(header.stderr).not.toContain(grant);
  });
});
