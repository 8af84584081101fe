import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { jest } from '@jest/globals';
import { Body, Controller, Post, Query, UseGuards } from '@nestjs/common';
import { ServiceAuthModule, ServiceJwtGuard, ServiceSubject } from 'nestjs-service-auth';
import { createServiceAuth, type ServiceAuth } from 'nestjs-service-auth/core';
import { type Answer, call, type Call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { type Outcome, python } from '../support/processes/python.js';
import { whereThereIs } from '../support/processes/where-there-is.js';
import { readBlocks } from './page-blocks.mjs';

const PAGE = 'docs/other-languages.md';
const PATIENCE_MILLISECONDS = 60_000;
// Compilers take their time on a busy machine.
jest.setTimeout(2 * PATIENCE_MILLISECONDS);
const HERALD = 'https://herald.service/';
const ARCHIVE = 'https://archive.service/';
const USER = 'https://census.service/user/21/';

const canRun = (program: string, ...args: string[]): boolean =>
  spawnSync(program, args, { timeout: PATIENCE_MILLISECONDS }).status === 0;

interface Caller {
  readonly file: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly isThere: boolean;
  /** CI installs none: the program is run where there happens to be one. */
  readonly needsCompiler?: boolean;
}

const CALLERS: readonly Caller[] = [
  { file: 'call.py', program: python ?? 'python3', args: [], isThere: python !== undefined },
  {
    file: 'call.sh',
    program: 'bash',
    args: [],
    isThere: canRun('openssl', 'version') && canRun('curl', '--version'),
  },
  {
    file: 'Call.java',
    program: 'java',
    args: [],
    isThere: canRun('javac', '-version'),
    needsCompiler: true,
  },
  {
    file: 'call.go',
    program: 'go',
    args: ['run'],
    isThere: canRun('go', 'version'),
    needsCompiler: true,
  },
];

@Controller('note')
@UseGuards(ServiceJwtGuard)
class NoteController {
  @Post()
  store(
    @Body() note: { text: string },
    @Query('draft') draft: string,
    @ServiceSubject() subject: string,
  ) {
    return { ...note, draft, subject };
  }
}

async function run(
  folder: string,
  program: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const env = { ...process.env, ...environment };
  const options = { cwd: folder, timeout: PATIENCE_MILLISECONDS, env };
  return await new Promise((resolve) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      resolve({ ok: error === null, output: `${stdout}${stderr}`.trim() });
    });
  });
}

/** The files of the page and its key pair, as a reader has them. */
async function copyPage(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'other-languages-'));
  for (const { file, role, code } of readBlocks(PAGE)) {
    if (file !== undefined) writeFileSync(join(folder, file), code);
    if (role !== 'run') continue;
    const { ok, output } = await run(folder, 'bash', ['-euc', code]);
    if (!ok) throw new Error(output);
  }
  return folder;
}

let folder: string;

beforeAll(async () => {
  folder = await copyPage();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('names every program of the page here', () => {
  const files = readBlocks(PAGE).flatMap(({ file }) => file ?? []);
  expect(files.toSorted()).toEqual([...CALLERS.map(({ file }) => file), 'receive.py'].toSorted());
  expect(files.every((file) => existsSync(join(folder, file)))).toBe(true);
});

describe.each(ADAPTERS)('callers in other languages, on %s', (adapter) => {
  let census: TestService;

  beforeAll(async () => {
    const publicKey = readFileSync(join(folder, 'archive.public.pem'), 'utf8');
    const archive = { issuer: ARCHIVE, keys: [{ publicKey, keyId: 'archive-1' }] };
    const issuer = 'https://census.service/';
    census = await startService({
      adapter,
      imports: [ServiceAuthModule.forRoot({ issuer, trustedIssuers: [archive] })],
      controllers: [NoteController],
    });
  });

  afterAll(async () => await census.close());

  for (const { file, program, args, isThere, needsCompiler = false } of CALLERS) {
    if (!isThere && needsCompiler) {
      console.log(`${PAGE}: ${file} is not run, there is no ${program} for it`);
      continue;
    }
    const itWithProgram = whereThereIs(isThere, `what ${file} runs on`, it);
    const perform = async (name: string) =>
      await run(folder, program, [...args, name, `${census.url}/`]);

    itWithProgram(`${file} is served as the user it names`, async () => {
      const { ok, output } = await perform(file);
      expect(output).toContain(`"draft":"1","subject":"${USER}"`);
      expect(ok).toBe(true);
    });

    itWithProgram(`${file} is refused when it signs for another path`, async () => {
      const code = readFileSync(join(folder, file), 'utf8');
      // What is signed keeps the path; what is sent has another one.
      const name = `changed-${file}`;
      writeFileSync(join(folder, name), changeAfterSigning(file, code));
      const { ok, output } = await perform(name);
      expect(output).toContain('"code":"request_mismatch"');
      expect(ok).toBe(false);
    });
  }
});

describe.each(ADAPTERS)('callers in other languages that send a grant on, on %s', (adapter) => {
  const trustDomain = 'https://prod.example.org/';
  const EDGE = 'https://edge.service/';
  const edgeKey = createKey();
  let census: TestService;
  let edge: ServiceAuth;

  beforeAll(async () => {
    const publicKey = readFileSync(join(folder, 'archive.public.pem'), 'utf8');
    const subjects = ['https://census.service/user/'];
    const options = {
      issuer: 'https://census.service/',
      trustDomain,
      originators: [{ issuer: EDGE, subjects, publicKey: edgeKey.publicPem }],
      trustedIssuers: [
        {
          issuer: ARCHIVE,
          keys: [{ publicKey, keyId: 'archive-1' }],
          subjectProof: { mode: 'required', withoutSubject: 'refused' } as const,
        },
      ],
    };
    census = await startService({
      adapter,
      imports: [ServiceAuthModule.forRoot(options)],
      controllers: [NoteController],
    });
    edge = await createServiceAuth({
      issuer: EDGE,
      signingKey: { privateKey: edgeKey.privatePem },
      targets: [{ baseUrl: 'https://census.service/' }],
      trustDomain,
      originate: { subjects },
    });
  });

  afterAll(async () => {
    edge.close();
    await census.close();
  });

  for (const { file, program, args, isThere, needsCompiler = false } of CALLERS) {
    if (!isThere && needsCompiler) continue; // the tests above say so
    const itWithProgram = whereThereIs(isThere, `what ${file} runs on`, it);
    const perform = async (environment: NodeJS.ProcessEnv) =>
      await run(folder, program, [...args, file, `${census.url}/`], environment);

    itWithProgram(`${file} is served with the grant of its user`, async () => {
      const { ok, output } = await perform({ GRANT: await edge.issueGrant(USER) });
      expect(output).toContain(`"draft":"1","subject":"${USER}"`);
      expect(ok).toBe(true);
    });

    itWithProgram(`${file} is refused with the grant of another user`, async () => {
      const grant = await edge.issueGrant('https://census.service/user/42/');
      const { ok, output } = await perform({ GRANT: grant });
      expect(output).toContain('"code":"grant_mismatch"');
      expect(ok).toBe(false);
    });

    if (needsCompiler) continue; // it takes its time, and sends what it sent before
    itWithProgram(`${file} is refused without a grant`, async () => {
      const { ok, output } = await perform({});
      expect(output).toContain('"code":"grant_missing"');
      expect(ok).toBe(false);
    });
  }
});

/** The same program, which sends its request to `/note?draft=2`. */
function changeAfterSigning(file: string, code: string): string {
  const changes: Record<string, readonly [string, string]> = {
    'call.py': ['request("POST", target,', 'request("POST", "/note?draft=2",'],
    'call.sh': ['"${1%/}$target"', '"${1%/}/note?draft=2"'],
    'Call.java': ['newBuilder(url)', 'newBuilder(url.resolve("/note?draft=2"))'],
    'call.go': [
      'answer, err := client',
      'request.URL.RawQuery = "draft=2"\n\tanswer, err := client',
    ],
  };
  const [from = '', to = ''] = changes[file] ?? [];
  expect(code.split(from)).toHaveLength(2);
  return code.replace(from, () => to);
}

const describeWithPython = whereThereIs(
  python !== undefined,
  'Python with PyJWT and cryptography',
  describe,
);

describeWithPython('a server in Python, called by this library', () => {
  const key = createKey();
  let herald: TestService;
  let sender: ServiceAuth;
  let port: number;
  let stop: () => Promise<unknown>;

  beforeAll(async () => {
    const options = {
      issuer: HERALD,
      signingKey: { privateKey: key.privatePem },
      targets: [{ baseUrl: ARCHIVE }],
    };
    herald = await startService({
      adapter: 'express',
      imports: [ServiceAuthModule.forRoot(options)],
    });
    sender = await createServiceAuth(options);
    const keysUrl = `${herald.url}/.well-known/jwks.json`;
    const server = spawn(python ?? '', ['receive.py', keysUrl, '0'], { cwd: folder });
    const closed = new Promise((resolve) => server.once('close', resolve));
    stop = async () => {
      server.kill();
      await closed;
    };
    const first = await new Promise<string>((resolve, reject) => {
      server.stdout.once('data', (bytes: Buffer) => resolve(bytes.toString()));
      server.once('close', () => reject(new Error('receive.py has ended')));
    });
    port = Number(/\d+/.exec(first)?.[0]);
  });

  afterAll(async () => {
    await stop();
    sender.close();
    await herald.close();
  });

  const REQUEST: Call & { body: string } = {
    method: 'POST',
    target: '/note?draft=1',
    headers: { 'content-type': 'application/json' },
    body: '{"text":"from Nest"}',
  };

  const sign = async (): Promise<string> =>
    (await sender.sign({
      method: 'POST',
      url: new URL(REQUEST.target, ARCHIVE),
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(REQUEST.body),
      subject: USER,
    })) ?? '';

  const send = async (token: string, change: Partial<Call> = {}): Promise<Answer> => {
    const headers = { ...REQUEST.headers, ...change.headers, JWT: token };
    return await call(port, { ...REQUEST, ...change, headers });
  };

  it('accepts what was signed, and names the user', async () => {
    const answer = await send(await sign());
    expect([answer.status, answer.json]).toEqual([200, { caller: HERALD, user: USER }]);
  });

  it.each<[title: string, code: string, change: Partial<Call>]>([
    ['another body', 'body_mismatch', { body: '{"text":"from nest"}' }],
    ['another path', 'request_mismatch', { target: '/note?draft=2' }],
    ['another method', 'request_mismatch', { method: 'GET' }],
    ['another type', 'header_mismatch', { headers: { 'content-type': 'text/plain' } }],
    ['an added coding', 'header_mismatch', { headers: { 'content-encoding': 'gzip' } }],
    ['an added range', 'header_mismatch', { headers: { 'content-range': 'bytes 0-19/40' } }],
  ])('refuses %s', async (_title, code, change) => {
    const answer = await send(await sign(), change);
    expect([answer.status, answer.code]).toEqual([401, code]);
  });

  it.each([
    ['as signed', { 'content-encoding': 'gzip' }, 200, undefined],
    ['without its coding', {}, 401, 'header_mismatch'],
    ['with another', { 'content-encoding': 'br' }, 401, 'header_mismatch'],
  ])('answers a coded body %s', async (_title, coding, status, code) => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    const body = gzipSync(REQUEST.body);
    const url = new URL(REQUEST.target, ARCHIVE);
    const token = await sender.sign({ method: 'POST', url, headers, body, subject: USER });
    const { headers: plain } = REQUEST;
    const answer = await call(port, {
      ...REQUEST,
      body,
      headers: { ...plain, ...coding, JWT: token },
    });
    expect([answer.status, answer.code]).toEqual([status, code]);
  });

  it('refuses a second use, and no token', async () => {
    const token = await sign();
    expect((await send(token)).status).toBe(200);
    expect(await send(token)).toMatchObject({ status: 401, code: 'token_replayed' });
    expect(await call(port, REQUEST)).toMatchObject({ status: 401, code: 'token_missing' });
  });

  it('refuses a token that a stranger signed under the same key id', async () => {
    const stranger = await createServiceAuth({
      issuer: HERALD,
      signingKey: { privateKey: createKey().privatePem, keyId: key.keyId },
      targets: [{ baseUrl: ARCHIVE }],
    });
    const token = await stranger.sign({
      method: 'GET',
      url: ARCHIVE,
      headers: {},
      body: new Uint8Array(),
    });
    stranger.close();
    const answer = await call(port, { target: '/', headers: { JWT: token } });
    expect(answer).toMatchObject({ status: 401, code: 'InvalidSignatureError' });
  });
});
