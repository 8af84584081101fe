import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { typeScriptOf } from '../support/documentation.js';

const ROOT = join(import.meta.dirname, '..', '..');

/** Every TypeScript block of a page, as the module a reader would paste it into. */
function snippetsOf(page: string): { name: string; code: string; file: string | undefined }[] {
  const blocks = typeScriptOf(readFileSync(join(ROOT, page), 'utf8'));
  return blocks.map(({ code, file }, at) => ({ name: `${page} ${at + 1}`, code, file }));
}

const pages = ['README.md', ...readdirSync(join(ROOT, 'docs')).map((page) => `docs/${page}`)];
const snippets = pages.filter((page) => page.endsWith('.md')).flatMap(snippetsOf);

function compile(sources: ReadonlyMap<string, string>): Map<string, string[]> {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  const disk = ts.createCompilerHost(options);
  const host: ts.CompilerHost = {
    ...disk,
    fileExists: (path) => sources.has(path) || disk.fileExists(path),
    readFile: (path) => sources.get(path) ?? disk.readFile(path),
    getSourceFile: (path, ...others) => {
      const source = sources.get(path);
      if (source === undefined) return disk.getSourceFile(path, ...others);
      return ts.createSourceFile(path, source, ts.ScriptTarget.ES2023);
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
  const pathOf = (at: number) => join(ROOT, snippets[at]?.file ?? `snippet-${at}.ts`);
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

  it('shows a receiver and a sender in at most 15 lines each, besides imports', () => {
    const receiver = snippets.find(({ code }) => code.includes('@UseGuards(ServiceJwtGuard)'));
    const sender = snippets.find(({ code }) => code.includes('ServiceHttpModule.register'));
    for (const snippet of [receiver, sender]) {
      const lines = (snippet?.code ?? '')
        .split('\n')
        .filter((line) => !/^(import .*)?$/.test(line));
      expect(lines.length).toBeGreaterThan(5);
      expect(lines.length).toBeLessThanOrEqual(15);
    }
  });
});
