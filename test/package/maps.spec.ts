import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Every file under a folder of the project, by its path from that folder. */
const filesIn = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => !name.includes('node_modules/'))
    .toSorted();

const LIBRARY = filesIn('lib').filter((name) => name.endsWith('.ts'));
const SPECS = filesIn('test').filter((name) => name.endsWith('.spec.ts'));
const CONTRIBUTING = read('CONTRIBUTING.md');

/** The part of a page under a heading, up to the next one of any level. */
function sectionOf(page: string, heading: string): string {
  const [, after = ''] = page.split(`# ${heading}\n`);
  return after.split(/^#/m)[0] ?? '';
}

/** What a row of a table names in a cell, between backticks. */
const namesIn = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

function rowsOf(section: string): [first: string[], second: string[]][] {
  return section
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split(' | '))
    .map(([first = '', second = '']) => [namesIn(first), namesIn(second)]);
}

describe('the picture of lib in CONTRIBUTING.md', () => {
  /** A folder of lib, or a file of lib that is no entry point. Entry points import what they export. */
  const roomOf = (file: string): string => file.split('/')[0]?.replace(/\.ts$/, '') ?? '';
  const inRooms = LIBRARY.filter((file) => file.includes('/') || file === 'service-auth.ts');

  const importsOf = (file: string): string[] =>
    [...read(`lib/${file}`).matchAll(/from '(\.[^']+)'|import\('(\.[^']+)'\)/g)].map(
      ([, one, other = '']) =>
        roomOf(posix.join(dirname(file), one ?? other).replace(/\.js$/, '.ts')),
    );

  it('has the arrows that the imports have, and no others', () => {
    const imported = inRooms.flatMap((file) =>
      importsOf(file)
        .filter((room) => room !== roomOf(file))
        .map((room) => `${roomOf(file)} --> ${room}`),
    );
    const drawn = [...CONTRIBUTING.matchAll(/^ {4}([\w-]+) --> (.+)$/gm)].flatMap(
      ([, from, to = '']) => to.split(' & ').map((each) => `${from} --> ${each}`),
    );
    expect(drawn.toSorted()).toEqual([...new Set(imported)].toSorted());
  });

  it('says what is in each folder', () => {
    const described = [...CONTRIBUTING.matchAll(/^ {4}([\w-]+)\["/gm)].map(([, room = '']) => room);
    expect(described.toSorted()).toEqual([...new Set(inRooms.map(roomOf))].toSorted());
  });
});

describe.each(['A request comes in', 'A call goes out'])('the walk "%s"', (heading) => {
  const files = [...sectionOf(CONTRIBUTING, heading).matchAll(/^\d+\. \[`([^`]+)`\]/gm)].map(
    ([, file = '']) => file,
  );

  it('has at most eight files, and they exist', () => {
    expect(files.length).toBeGreaterThan(3);
    expect(files.length).toBeLessThanOrEqual(8);
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });
});

describe('test/README.md', () => {
  const page = read('test/README.md');
  const rows = rowsOf(sectionOf(page, 'Which specs test a file'));
  const matches = (pattern: string, file: string): boolean =>
    new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`).test(file);
  const isRow = (file: string): boolean =>
    rows.some(([patterns]) => patterns.some((pattern) => matches(pattern, file)));

  /** What exports types alone, or what other files hold, does nothing that a test could see. */
  const doesSomething = (file: string): boolean =>
    /^export (?:async |abstract )*(?:function|class|const|let) /m.test(read(`lib/${file}`));
  const hasNamesake = (file: string): boolean => {
    const stem = basename(file, '.ts');
    const begins = [`${stem}.`, `${stem}-`];
    return SPECS.some((spec) => begins.some((begin) => basename(spec).startsWith(begin)));
  };

  it('names the specs of every file of lib that has none of its name', () => {
    const untested = LIBRARY.filter((file) => doesSomething(file) && !hasNamesake(file));
    expect(untested.filter((file) => !isRow(file))).toEqual([]);
  });

  it.each(rows)('%j are files, tested by specs', (patterns, specs) => {
    expect(patterns.filter((each) => !LIBRARY.some((file) => matches(each, file)))).toEqual([]);
    expect(specs).not.toEqual([]);
    expect(specs.filter((spec) => !SPECS.includes(spec))).toEqual([]);
  });

  it('names helpers that exist, and every one of them', () => {
    const section = sectionOf(page, 'To test X, take Y');
    const named = [...section.matchAll(/`((?:[\w-]+\/)*[\w-]+\.ts)`/g)].map(
      ([, name = '']) => name,
    );
    const support = filesIn('test/support').filter((name) => name.endsWith('.ts'));
    const all = [...support.map((name) => `support/${name}`), ...filesIn('test')];
    expect(
      named.filter((name) => !all.some((file) => file === name || file.endsWith(`/${name}`))),
    ).toEqual([]);
    const helpers = support.filter((name) => !name.startsWith('attacks/'));
    const names = new Set(named.map((name) => basename(name)));
    expect(helpers.filter((name) => !names.has(basename(name)))).toEqual([]);
  });
});

describe('scripts/README.md', () => {
  const named = new Set(rowsOf(read('scripts/README.md')).flatMap(([names]) => names));
  const scripts = readdirSync(join(ROOT, 'scripts')).filter((name) => name.endsWith('.mjs'));

  it('has a line for every script, and for no other', () => {
    expect([...named].toSorted()).toEqual(scripts.map((name) => basename(name, '.mjs')).toSorted());
  });
});

describe('the commands on the pages', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const pages = [
    '.',
    'docs',
    'docs/decisions',
    'sample',
    'scripts',
    'test',
    'test/vectors',
  ].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(?:md|mjs)$/.test(entry.name))
      .map((entry) => join(folder, entry.name)),
  );

  it.each(pages)('%s names scripts of npm that exist, and files that exist', (page) => {
    const text = read(page);
    const ofNpm = [...text.matchAll(/npm run (?:--silent )?([a-z][\w:-]*)/g)].map(
      ([, name = '']) => name,
    );
    expect(ofNpm.filter((name) => !(name in scripts))).toEqual([]);
    const ofNode = [...text.matchAll(/node ((?:scripts|bench|test)\/[\w/-]+\.mjs)/g)].map(
      ([, name = '']) => name,
    );
    expect(ofNode.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
  });
});

describe('packages of tools', () => {
  interface Manifest {
    readonly devDependencies: Record<string, string>;
    readonly overrides?: Record<string, string>;
  }
  const manifestOf = (folder: string) => JSON.parse(read(`${folder}/package.json`)) as Manifest;
  const ofTests = Object.keys(manifestOf('tools/tests').devDependencies);
  const [, list = ''] = read('jest.config.js').split('tests: [');
  const listed = [...(list.split(']')[0] ?? '').matchAll(/'([^']+)'/g)].map(
    ([, name = '']) => `${name}.spec.ts`,
  );

  /** What a file of test/ imports when it runs. For a transport of Nest, Nest imports the client itself. */
  const specifiersOf = (file: string): string[] => {
    const source = read(`test/${file}`).replaceAll(/^import type [^;]*;/gm, '');
    const imported = [...source.matchAll(/\b(?:from|import) '([^']+)'/g)];
    const byNest = /Transport\.MQTT/.test(source) ? ['mqtt'] : [];
    return [...imported.map(([, name = '']) => name), ...byNest];
  };

  function reachesTools(file: string, seen = new Set<string>()): boolean {
    if (seen.has(file) || !existsSync(join(ROOT, 'test', file))) return false;
    seen.add(file);
    return specifiersOf(file).some((name) =>
      name.startsWith('.')
        ? reachesTools(posix.join(dirname(file), name).replace(/\.js$/, '.ts'), seen)
        : ofTests.some((each) => name === each || name.startsWith(`${each}/`)),
    );
  }

  it('are imported by specs that jest.config.js lists, which exist', () => {
    const importing = SPECS.filter((spec) => reachesTools(spec));
    expect(importing.length).toBeGreaterThan(5);
    expect(importing.filter((spec) => !listed.includes(spec))).toEqual([]);
    expect(listed.filter((spec) => !SPECS.includes(spec))).toEqual([]);
  });

  it.each(['tools/tests', 'tools/bench'])(
    'have the types of Node in %s as the root has',
    (folder) => {
      const { packages } = JSON.parse(read('package-lock.json')) as {
        packages: Record<string, { version: string }>;
      };
      const { version } = packages['node_modules/@types/node'] ?? {};
      expect(manifestOf(folder).overrides?.['@types/node']).toBe(version);
    },
  );
});
