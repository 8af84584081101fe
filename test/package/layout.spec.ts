import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..');
const OXLINT = join(ROOT, 'tools/lint/node_modules/oxlint/bin/oxlint');

interface Finding {
  readonly filename: string;
  readonly code: string;
}

const importing = (module: string): string => `import * as it from '${module}';\nvoid it;\n`;

// Where, what is refused there, and what is not: the two differ in nothing but what stands here.
const IMPORTS: [place: string, refused: string, admitted: string][] = [
  ['lib/core', '@nestjs/common', 'jose'],
  ['lib/core', 'axios', 'node:crypto'],
  ['lib/core', 'jsonwebtoken', 'jose/jws/compact/sign'],
  ['lib/core', 'node:fs', 'node:crypto'],
  ['lib/core', '../keys/static-key-source.js', './keys.js'],
  ['lib/core', '../nest/service-jwt.guard.js', './request.js'],
  ['lib/core', '../for-whom/named-subject.js', './slot.js'],
  ['lib/keys', '@nestjs/common', 'jose'],
  ['lib/keys', 'jsonwebtoken', 'jose/key/import'],
  ['lib/keys', '../nest/service-jwt.guard.js', '../core/index.js'],
  ['lib/keys', '../core/keys.js', '../core/index.js'],
  ['lib/keys', '../replay/memory-replay-store.js', './key-material.js'],
  ['lib/keys', '../for-whom/call-subject.js', '../core/index.js'],
  ['lib/replay', '@nestjs/common', 'node:crypto'],
  ['lib/replay', '../clients/axios.js', '../core/index.js'],
  ['lib/replay', 'ioredis', './memory-replay-store.js'],
  ['lib/replay', 'redis', 'node:cluster'],
  ['lib/replay', '../for-whom/call-subject.js', '../core/index.js'],
  ['lib/clients', 'axios', 'node:stream'],
  ['lib/clients', 'undici', 'node:stream'],
  ['lib/clients', '@nestjs/axios', '../core/index.js'],
  ['lib/clients', '../nest/service-jwt.guard.js', '../for-whom/call-subject.js'],
  ['lib/clients', '../for-whom/service-call.context.js', '../for-whom/call-decision.js'],
  ['lib/clients', '../for-whom/service-caller.decorator.js', '../for-whom/named-subject.js'],
  ['lib/clients', '../for-whom/kept-inside.js', '../for-whom/stand-ins.js'],
  ['lib/clients', '../core/identity.js', '../for-whom/call-options.js'],
  ['lib/for-whom', '@nestjs/core', '@nestjs/common'],
  ['lib/for-whom', 'axios', 'rxjs'],
  ['lib/for-whom', '@nestjs/axios', 'node:async_hooks'],
  ['lib/for-whom', '../clients/axios.js', '../service-auth.js'],
  ['lib/for-whom', '../core/slot.js', '../core/index.js'],
  ['lib/for-whom', '../nest/service-jwt.guard.js', '../nest/request-state.js'],
  ['lib/for-whom', '../nest/http/body/received-body.js', '../nest/http/http-exception.js'],
  ['lib/for-whom', '../testing/flaws.js', './fixed-subject.js'],
  ['lib/cli', '@nestjs/common', 'commander'],
  ['lib/cli', 'redis', 'node:process'],
  ['lib/cli', '../nest/service-auth.module.js', '../core/claims.js'],
  ['lib/cli', '../for-whom/service-call.context.js', '../core/errors.js'],
  ['lib/demo', 'axios', '@nestjs/common'],
  ['lib/demo', '@nestjs/axios', '@nestjs/platform-express'],
  ['lib/demo', '../core/claims.js', '../core/index.js'],
  ['lib/demo', '../cli/terminal.js', '../nest/key-health.js'],
  ['lib/observability', '@nestjs/common', '@opentelemetry/api'],
  ['lib/observability', '@opentelemetry/sdk-metrics', '../core/index.js'],
  ['lib/observability', '../core/events.js', './bounded-labels.js'],
  ['lib/observability', '../nest/logging-observer.js', '../core/index.js'],
  ['lib/observability', '../for-whom/call-subject.js', '../core/index.js'],
  ['lib/core', '@opentelemetry/api', './events.js'],
  ['lib/nest', '@opentelemetry/api', '@nestjs/common'],
  ['lib/nest', '../observability/open-telemetry-observer.js', './logging-observer.js'],
  ['lib/nest', 'axios', '@nestjs/common'],
  ['lib/nest', '@nestjs/axios', '@nestjs/core'],
  ['lib/nest', './axios/service-http.module.js', './service-jwt.guard.js'],
  ['lib/nest', '@nestjs/cache-manager', '@nestjs/common'],
  ['lib/nest', './cache/caller-cache-key.js', './route-policy.js'],
  ['lib/nest/cache', '../../testing/flaws.js', '@nestjs/cache-manager'],
  ['lib/nest', '@nestjs/swagger', '@nestjs/common'],
  ['lib/nest', './openapi/service-auth.scheme.js', './route-policy.js'],
  ['lib/nest/openapi', '../../core/claims.js', '@nestjs/swagger'],
  ['lib/nest', '@nestjs/graphql', '@nestjs/common'],
  ['lib/nest', './graphql/guarded-driver.js', './graphql-endpoints.js'],
  ['lib/nest/graphql', '@nestjs/graphql', '@nestjs/core'],
  ['lib/nest/graphql', '../../core/claims.js', '../../core/index.js'],
  ['lib/for-whom', '../nest/route-policy.js', '../nest/resolver-context.js'],
  ['lib/nest', '../core/claims.js', '../core/index.js'],
  ['lib/nest', '../core/identity.js', '../core/index.js'],
  ['lib/nest', '../core/slot.js', '../core/index.js'],
  ['lib/nest/fetch', 'axios', '@nestjs/common'],
  ['lib/nest/fetch', '../axios/service-http.module.js', '../../for-whom/service-call.context.js'],
  ['lib/nest/fetch', '../../core/claims.js', '../../core/index.js'],
  ['lib/nest', '../testing/flaws.js', './service-jwt.guard.js'],
  ['lib/nest/axios', '../../testing/flaws.js', '../service-jwt.guard.js'],
  ['lib/testing', 'vitest', '@nestjs/common'],
  ['lib/testing', '@jest/globals', '@nestjs/core'],
  ['lib/testing', '@nestjs/testing', '@nestjs/common'],
  ['lib/testing', 'supertest', 'node:http'],
  ['lib/testing', 'axios', 'jose'],
  ['lib/testing', '../core/claims.js', '../core/index.js'],
  ['lib/testing', '../core/slot.js', '../core/index.js'],
  ['lib/testing', '../core/identity.js', '../core/index.js'],
  ['lib/testing', '../for-whom/kept-inside.js', '../nest/request-authenticator.js'],
  ['lib/testing', '../nest/axios/service-http.module.js', '../nest/service-jwt.guard.js'],
  ['lib/nest', 'bullmq', '@nestjs/common'],
  ['lib/nest', '@nestjs/bullmq', '@nestjs/core'],
  ['lib/nest', './jobs/service-jobs.module.js', './service-jwt.guard.js'],
  ['lib/nest/jobs', '@nestjs/microservices', '@nestjs/bullmq'],
  ['lib/nest/jobs', '../../core/claims.js', '../../core/index.js'],
  ['lib/nest/http', 'axios', '@nestjs/common'],
  ['lib/nest/http', '../../core/claims.js', '../../core/index.js'],
];

// The files that the rules name one by one: those of `lib` itself, and those of for-whom that clients import.
const ENTRIES: [file: string, refused: string, admitted: string][] = [
  ['lib/index.ts', './nest/axios/service-http.module.js', './nest/service-jwt.guard.js'],
  ['lib/index.ts', './axios.js', './service-auth.js'],
  ['lib/index.ts', 'axios', './service-auth.js'],
  ['lib/fetch.ts', './nest/axios/service-http.module.js', './nest/fetch/service-fetch.module.js'],
  ['lib/fetch.ts', '@nestjs/axios', './clients/fetch.js'],
  ['lib/index.ts', './testing/flaws.js', './service-auth.js'],
  ['lib/index.ts', './nest/cache/caller-cache-key.js', './nest/service-jwt.guard.js'],
  ['lib/index.ts', './nest/openapi/service-auth.scheme.js', './nest/service-jwt.guard.js'],
  ['lib/index.ts', './nest/graphql/guarded-driver.js', './nest/service-jwt.guard.js'],
  ['lib/core.ts', './nest/service-jwt.guard.js', './service-auth.js'],
  ['lib/core.ts', '@nestjs/common', './core/index.js'],
  ['lib/core.ts', './for-whom/service-call.context.js', './for-whom/call-options.js'],
  ['lib/for-whom/named-subject.ts', '../core/identity.js', '../core/index.js'],
  ['lib/for-whom/stand-ins.ts', '../core/slot.js', '../core/index.js'],
  ['lib/for-whom/call-options.ts', './service-call.context.js', './stand-ins.js'],
  ['lib/for-whom/call-decision.ts', '../service-auth.js', './fixed-subject.js'],
  ['lib/for-whom/call-subject.ts', '../nest/request-state.js', '../core/index.js'],
  ['lib/for-whom/fixed-subject.ts', '../nest/request-state.js', './named-subject.js'],
  ['lib/service-auth.ts', '@nestjs/common', './core/index.js'],
  ['lib/opentelemetry.ts', '@opentelemetry/api', './observability/open-telemetry-observer.js'],
  ['lib/opentelemetry.ts', './nest/logging-observer.js', './observability/instruments.js'],
  ['lib/index.ts', './observability/open-telemetry-observer.js', './service-auth.js'],
  ['lib/redis.ts', 'ioredis', './replay/redis-replay-store.js'],
  ['lib/redis.ts', './nest/service-jwt.guard.js', './replay/redis-replay-store.js'],
  ['lib/undici.ts', './nest/service-jwt.guard.js', './clients/undici.js'],
  ['lib/undici.ts', 'undici', './clients/undici-options.js'],
  ['lib/axios.ts', './clients/axios.js', './nest/axios/service-http.module.js'],
  ['lib/cache.ts', './nest/service-jwt.guard.js', './nest/cache/caller-cache-key.js'],
  ['lib/openapi.ts', './nest/service-jwt.guard.js', './nest/openapi/service-auth.scheme.js'],
  ['lib/graphql.ts', './nest/service-jwt.guard.js', './nest/graphql/guarded-driver.js'],
  ['lib/testing.ts', './service-auth.js', './testing/flaws.js'],
];

const STATEMENTS: [place: string, refused: string, admitted: string][] = [
  ['lib/core', "export * from 'axios';", "export * from './keys.js';"],
  ['lib/core', 'void Date.now();', 'void new Date(0);'],
  ['lib/nest', 'void Date.now();', 'void new Date(0);'],
  ['lib/cli', 'void Date.now();', 'void new Date(0);'],
  ['lib/cli', 'void process.env;', 'void globalThis.name;'],
  ['lib/nest', 'void process.env;', 'void globalThis.name;'],
];

/** Lints a project that consists of these files under the rules of this one. */
function lint(files: ReadonlyMap<string, string>): Finding[] {
  const folder = mkdtempSync(join(tmpdir(), 'layout-'));
  try {
    cpSync(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
    for (const [name, text] of files) {
      mkdirSync(join(folder, dirname(name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    const args = [OXLINT, '--format', 'json', 'lib'];
    const { stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
    return (JSON.parse(stdout) as { diagnostics: Finding[] }).diagnostics;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The names of the rules that a file breaks. */
function brokenRules(findings: readonly Finding[], file: string): string[] {
  return findings.filter(({ filename }) => filename === file).map(({ code }) => code);
}

describe('the folder rules', () => {
  const rows = [
    ...IMPORTS.map(([place, ...modules]) => [place, ...modules.map(importing)]),
    ...STATEMENTS,
  ].map(([place = '', refused = '', admitted = ''], at) => ({
    place,
    refused: { file: `${place}/refused-${at}.ts`, text: refused },
    admitted: { file: `${place}/admitted-${at}.ts`, text: admitted },
  }));
  const sources = rows.flatMap(({ refused, admitted }) => [refused, admitted]);
  let findings: Finding[];
  beforeAll(() => {
    findings = lint(new Map(sources.map(({ file, text }) => [file, text])));
  });

  it.each(rows)('refuse in $place: $refused.text', ({ refused }) => {
    expect(brokenRules(findings, refused.file)).toEqual([
      expect.stringMatching(/^eslint\(no-restricted-(imports|globals|properties)\)$/),
    ]);
  });

  it.each(rows)('admit in $place: $admitted.text', ({ admitted }) => {
    expect(brokenRules(findings, admitted.file)).toEqual([]);
  });

  it.each(ENTRIES)('let %s import %s never, but %s', (file, refused, admitted) => {
    const withImport = (module: string) => lint(new Map([[file, importing(module)]]));
    expect(brokenRules(withImport(refused), file)).toEqual(['eslint(no-restricted-imports)']);
    expect(brokenRules(withImport(admitted), file)).toEqual([]);
  });
});

/** The files that a file imports by a relative path, named from the root of the project. */
function importsOf(file: string): string[] {
  const source = readFileSync(join(ROOT, file), 'utf8');
  const names = [...source.matchAll(/\bfrom '(\.[^']*)'/g)].map(([, name = '']) => name);
  return names.map((name) => join(dirname(file), name));
}

describe('the entry points', () => {
  const read = (name: string): unknown => JSON.parse(readFileSync(join(ROOT, name), 'utf8'));
  const { name, main, types, exports, typesVersions } = read('package.json') as {
    name: string;
    main: string;
    types: string;
    exports: Record<string, string | Record<string, { types: string; default: string }>>;
    typesVersions: Record<string, Record<string, string[]>>;
  };
  const entries = Object.entries(exports).filter(([, target]) => typeof target === 'object');
  const files = (folder: string, stem: string) => ({
    types: `./${folder}/${stem}.d.ts`,
    default: `./${folder}/${stem}.js`,
  });

  // jest.config.js, tsconfig.json and typedoc.config.js find the source of a subpath in the same way.
  const stemOf = (subpath: string): string => (subpath === '.' ? 'index' : subpath.slice(2));

  it.each(entries)('%s is built from the file of lib that has its name', (subpath, target) => {
    const stem = stemOf(subpath);
    const modules = files('dist', stem);
    // Node takes the first condition it knows: whoever can require an ES module gets the one copy.
    expect(Object.entries(target)).toEqual([
      ['module-sync', modules],
      ['import', modules],
      ['require', files('dist/cjs', stem)],
    ]);
    expect(existsSync(join(ROOT, 'lib', `${stem}.ts`))).toBe(true);
  });

  it('are all the files of lib itself, besides the one that puts a service together', () => {
    const sources = readdirSync(join(ROOT, 'lib')).filter((file) => file.endsWith('.ts'));
    const expected = entries.map(([subpath]) => `${stemOf(subpath)}.ts`);
    expect(sources.sort()).toEqual([...expected, 'service-auth.ts'].sort());
  });

  it.each(entries)('%s names each of its exports', (subpath) => {
    const source = readFileSync(join(ROOT, 'lib', `${stemOf(subpath)}.ts`), 'utf8');
    expect(source).not.toMatch(/export \*/);
  });

  it('are not imported by the library itself', () => {
    const imports = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) => importsOf(join('lib', file)));
    const own = new Set(entries.map(([subpath]) => `lib/${stemOf(subpath)}.js`));
    expect(imports).toContain('lib/service-auth.js');
    expect(imports.filter((path) => own.has(path))).toEqual([]);
  });

  it('are those that docs/package.md lists', () => {
    const [, table = ''] = readFileSync(join(ROOT, 'docs/package.md'), 'utf8').split(
      '## Entry points',
    );
    const listed = [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, specifier]) => specifier);
    const names = entries.map(([subpath]) => subpath.replace('.', name));
    expect(listed).toEqual(names);
  });

  it('have types where `exports` is not read: "moduleResolution": "node10"', () => {
    const required = entries.map(([subpath, target]) => {
      return [
        subpath.slice(2),
        typeof target === 'object' ? target['require'] : undefined,
      ] as const;
    });
    const [first, ...others] = required;
    expect({ types, default: main }).toEqual(first?.[1]);
    expect(typesVersions).toEqual({
      '*': Object.fromEntries(others.map(([subpath, file]) => [subpath, [file?.types]])),
    });
  });
});
