import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PORTS } from '../../sample/setup/environment.js';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { type Answer, call } from '../support/http/http.js';

const ROOT = join(import.meta.dirname, '..', '..');
/** The folders of the pages, and the files that the page links to. */
const FILES = [
  'sample/page/public',
  'sample/edge/public',
  'scripts/release.json',
  'README.md',
  'docs/protocol.md',
  'docs/recipes.md',
  'docs/grants.md',
  'docs/errors.md',
  'lib/nest/service-jwt.guard.ts',
];

/** What `npm start` runs, with its page, in processes of its own. */
export interface PageProcess {
  /** With a final slash. */
  readonly url: string;
  readonly port: number;
  /** What it has printed until now. */
  printed(): string;
  /** Asks the page's backend as the page's own script would. */
  post(target: string, content: unknown): Promise<Answer>;
  /** @param signal default: that of Ctrl-C. @returns the exit code */
  interrupt(signal?: NodeJS.Signals): Promise<number | null>;
  /** Kills what is left, and removes every file. */
  remove(): void;
}

/** @param wantedPort of the page; 0: any */
export async function startPageProcess(
  wantedPort: number,
  more: NodeJS.ProcessEnv = {},
): Promise<PageProcess> {
  const project = compileSample();
  const keys = mkdtempSync(join(tmpdir(), 'sample-page-'));
  const ports = Object.values(PORTS).map(({ variable }) => variable);
  const anyPort = Object.fromEntries(ports.map((name) => [name, '0']));
  const variables = { ...anyPort, SMTP_URL: '', SAMPLE_KEYS: keys, PAGE_PORT: String(wantedPort) };
  const child = spawn(process.execPath, [project.path('sample/main.ts')], {
    env: { ...process.env, NODE_OPTIONS: '', ...variables, ...more },
  });
  let text = '';
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        const shown = /^See it: (\S+)$.*Ctrl-C/ms.exec(text)?.[1];
        if (shown !== undefined) resolve(shown);
      });
    }
    child.once('exit', () => reject(new Error(`The sample ended: ${text}`)));
  });
  const port = Number(new URL(url).port);
  const headers = { 'content-type': 'application/json', origin: url.slice(0, -1) };
  return {
    url,
    port,
    printed: () => text,
    post: async (target, content) =>
      await call(port, { method: 'POST', target, headers, body: JSON.stringify(content) }),
    interrupt: async (signal = 'SIGINT') => {
      const ended = once(child, 'close') as Promise<[number | null]>;
      child.kill(signal);
      return (await ended)[0];
    },
    remove: () => {
      child.kill('SIGKILL');
      project.remove();
      rmSync(keys, { recursive: true });
    },
  };
}

function compileSample(): CompiledProject {
  const files = readdirSync(join(ROOT, 'sample'), { recursive: true, encoding: 'utf8' });
  const sources = files.filter((name) => name.endsWith('.ts')).map((name) => join('sample', name));
  const project = compileProject(sources);
  const folder = dirname(project.path('package.json'));
  for (const files of FILES) cpSync(join(ROOT, files), join(folder, files), { recursive: true });
  return project;
}
