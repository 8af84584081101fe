import { join } from 'node:path';
import ts from 'typescript';
import { readBlocks } from '../../../test/docs/page-blocks.mjs';

const ROOT = join(import.meta.dirname, '../../..');
const HERE = join(ROOT, 'tools/graphql');

/** Each block of the page, as a module that stands where the packages of GraphQL are found. */
const snippets = readBlocks('docs/graphql.md')
  .filter(({ language }) => language === 'ts')
  .map(({ code, line }) => ({ path: join(HERE, `snippet-${line}.ts`), code, line }));
const broken = { path: join(HERE, 'snippet-0.ts'), line: 0 };

function compile(sources: ReadonlyMap<string, string>): Map<string, string[]> {
  const config = ts.readConfigFile(join(HERE, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, HERE);
  const disk = ts.createCompilerHost(options);
  const host: ts.CompilerHost = {
    ...disk,
    fileExists: (path) => sources.has(path) || disk.fileExists(path),
    readFile: (path) => sources.get(path) ?? disk.readFile(path),
    getSourceFile: (path, languageOptions, ...others) => {
      const source = sources.get(path);
      if (source === undefined) return disk.getSourceFile(path, languageOptions, ...others);
      return ts.createSourceFile(path, source, languageOptions);
    },
  };
  const program = ts.createProgram([...sources.keys()], { ...options, noEmit: true }, host);
  const problemsIn = (path: string): string[] =>
    ts
      .getPreEmitDiagnostics(program, program.getSourceFile(path))
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
  return new Map([...sources.keys()].map((path) => [path, problemsIn(path)]));
}

describe('the snippets of docs/graphql.md', () => {
  const wrong = "import { Nothing } from 'nestjs-service-auth/graphql';\nvoid Nothing;\n";
  let problems: Map<string, string[]>;
  beforeAll(() => {
    const sources = snippets.map(({ path, code }) => [path, code] as const);
    problems = compile(new Map([...sources, [broken.path, wrong]]));
  }, 240_000);

  it.each(snippets)('compile: line $line', ({ path }) => {
    expect(problems.get(path)).toEqual([]);
  });

  it('would notice one that does not compile', () => {
    expect(problems.get(broken.path)).toHaveLength(1);
  });
});
