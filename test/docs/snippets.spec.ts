import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ClientProxy } from '@nestjs/microservices';
import ts from 'typescript';
import { readBlocks } from './page-blocks.mjs';

const ROOT = join(import.meta.dirname, '..', '..');

/** The pages that readers copy from. */
const pages = ['.', 'docs', 'sample', 'sample/clients/python', 'test/vectors'].flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((file) => file.endsWith('.md'))
    .map((file) => join(folder, file)),
);
const blocks = pages.flatMap((page) =>
  readBlocks(page).map((block) => ({ ...block, name: `${page}:${block.line}` })),
);
const isNest12 = 'setOnDispatchHook' in ClientProxy.prototype;
/** Those with GraphQL are compiled where its packages are: `node scripts/test-graphql.mjs`. */
const LEFT_OUT = isNest12 ? ['graphql'] : ['graphql', 'nest-12'];
/** Every TypeScript block, as the module a reader would paste it into. */
const snippets = blocks.filter(
  ({ language, variant = '' }) => language === 'ts' && !LEFT_OUT.includes(variant),
);

const axiosManifest = readFileSync(join(ROOT, 'node_modules/@nestjs/axios/package.json'), 'utf8');
const isAxiosCommonJs = !axiosManifest.includes('"type": "module"');

/** In an ES module, the axios that @nestjs/axios 4 (CommonJS) gives is another type than the one of `axios` itself. */
function formatOf(source: string): Partial<ts.CreateSourceFileOptions> {
  const isCommonJs = isAxiosCommonJs && source.includes("'@nestjs/axios'");
  return isCommonJs ? { impliedNodeFormat: ts.ModuleKind.CommonJS } : {};
}

function compile(sources: ReadonlyMap<string, string>): Map<string, string[]> {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  const disk = ts.createCompilerHost(options);
  const folders = new Set([...sources.keys()].map((path) => dirname(path)));
  const host: ts.CompilerHost = {
    ...disk,
    directoryExists: (path) => folders.has(path) || disk.directoryExists?.(path) === true,
    fileExists: (path) => sources.has(path) || disk.fileExists(path),
    readFile: (path) => sources.get(path) ?? disk.readFile(path),
    getSourceFile: (path, languageOptions, ...others) => {
      const source = sources.get(path);
      if (source === undefined) return disk.getSourceFile(path, languageOptions, ...others);
      // They say which kind of module it is, by which the types of a package with both builds are found.
      if (typeof languageOptions !== 'object') throw new TypeError('The compiler names no format');
      return ts.createSourceFile(path, source, { ...languageOptions, ...formatOf(source) });
    },
  };
  const program = ts.createProgram([...sources.keys()], { ...options, noEmit: true }, host);
  const problems = new Map([...sources.keys()].map((path) => [path, [] as string[]]));
  for (const path of sources.keys()) {
    const file = program.getSourceFile(path);
    for (const { messageText } of ts.getPreEmitDiagnostics(program, file)) {
      problems.get(path)?.push(ts.flattenDiagnosticMessageText(messageText, '\n'));
    }
  }
  return problems;
}

describe('the snippets of the documentation', () => {
  // A block whose first line names a file, as in `// census.module.ts`, can be imported by others.
  const fileOf = (at: number) => /^\/\/ (\S+\.ts)$/m.exec(snippets[at]?.code ?? '')?.[1];
  const pathOf = (at: number) => join(ROOT, 'test', fileOf(at) ?? `snippet-${at}.ts`);
  const broken =
    "import { Nothing } from 'nestjs-service-auth';\nexport const nothing = Nothing;\n";
  const sources = new Map(snippets.map(({ code }, at) => [pathOf(at), code]));
  sources.set(pathOf(-1), broken);
  const problems = compile(sources);

  it.each(snippets.map(({ name }, at) => [name, at] as const))('compiles %s', (_name, at) => {
    expect(problems.get(pathOf(at))).toEqual([]);
  });

  it('would notice one that does not compile', () => {
    expect(problems.get(pathOf(-1))).toHaveLength(1);
  });

  it.each(
    blocks
      .filter(({ language, code }) => language === 'json' && !code.includes('\u2026'))
      .map(({ name, code }) => [name, code]),
  )('parses %s', (_name, code) => {
    expect(() => JSON.parse(code) as unknown).not.toThrow();
  });

  it.each(
    blocks
      .filter(({ language }) => ['sh', 'bash'].includes(language))
      .map(({ name, code }) => [name, code]),
  )('has no shell in %s that does not parse', (_name, code) => {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: code, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  });

  it('runs what is marked as run, page by page', () => {
    const marked = blocks.filter(({ role, file }) => role !== undefined || file !== undefined);
    const pagesWithTests = [
      'README.md', // shell.spec.ts
      'docs/without-nest.md', // without-nest.spec.ts
      'docs/for-whom.md', // for-whom.spec.ts
      'docs/migration.md', // migration.spec.ts
      'docs/messages.md', // messages-other-languages.spec.ts
      'docs/other-languages.md', // other-languages.spec.ts
      'docs/getting-started.md', // getting-started.mjs
      'docs/gateways.md', // scripts/test-gateways.mjs
      'docs/hosts.md', // scripts/test-hosts.mjs
    ];
    const pagesWithMarks = new Set(marked.map(({ name }) => name.replace(/:\d+$/, '')));
    expect([...pagesWithMarks].toSorted()).toEqual(pagesWithTests.toSorted());
  });

  it('shows a receiver and a sender in at most 15 lines each, besides imports', () => {
    const ofReadme = snippets.filter(({ name }) => name.startsWith('README.md'));
    const receiver = ofReadme.find(({ code }) => code.includes('@UseGuards(ServiceJwtGuard)'));
    const sender = ofReadme.find(({ code }) => code.includes('ServiceHttpModule.register'));
    for (const snippet of [receiver, sender]) {
      const lines = (snippet?.code ?? '')
        .split('\n')
        .filter((line) => !/^(import .*)?$/.test(line));
      expect(lines.length).toBeGreaterThan(5);
      expect(lines.length).toBeLessThanOrEqual(15);
    }
  });
});
