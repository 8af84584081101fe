import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { problemsOf } from '../support/observed/problems.js';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** The members of an interface, as its file declares them. */
function membersOf(path: string, name: string): string[] {
  const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest);
  const declared = source.statements.find(
    (each) => ts.isInterfaceDeclaration(each) && each.name.text === name,
  ) as ts.InterfaceDeclaration;
  return declared.members.map((member) => (member.name as ts.Identifier).text);
}

const CORE = membersOf('lib/core/options.ts', 'ServiceAuthOptions');
const NEST = membersOf('lib/nest/service-auth.options.ts', 'ServiceAuthModuleOptions');

describe('the options', () => {
  const rows = [...read('docs/options.md').matchAll(/^\| `(\w+)` \|/gm)].map(
    ([, name = '']) => name,
  );

  it.each([...new Set([...CORE, ...NEST])])(
    '%s has a row in the table of docs/options.md',
    (name) => {
      expect(rows).toContain(name);
    },
  );

  it.each(CORE)('%s is no unknown option: it is in OPTION_NAMES', async (name) => {
    const unknown = (field: string) =>
      expect.stringContaining(`${field}: unknown option;`) as string;
    const problems = await problemsOf({ [name]: undefined, [`${name}X`]: undefined });
    expect(problems).toContainEqual(unknown(`${name}X`));
    expect(problems).not.toContainEqual(unknown(name));
  });
});
