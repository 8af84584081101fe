import { spawnSync } from 'node:child_process';
import vm from 'node:vm';

// Jest loads ES modules only where Node has `--experimental-vm-modules`: `npx jest` and editors start it without.
if (!('SourceTextModule' in vm) && /\bjest(\.js)?$/.test(process.argv[1] ?? '')) {
  const flags = ['--experimental-vm-modules', ...process.execArgv];
  const { status } = spawnSync(process.execPath, [...flags, ...process.argv.slice(1)], {
    stdio: 'inherit',
  });
  process.exit(status ?? 1);
}

/**
 * Tests of the sources. They need no build.
 *
 * @satisfies {import('jest').Config}
 */
export const SOURCES = {
  displayName: 'sources',
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testRegex: '(?<!\\.dist)\\.spec\\.ts$',
  // Those are tests of applications that are made elsewhere: `node scripts/test-consumers.mjs`.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/package/consumers/'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    // Sources import each other as './x.js' (nodenext); the files on disk are './x.ts'.
    '^(\\.{1,2}/.*)\\.js$': '$1',
    // The entry points of the package: each is built from the file that has its name.
    '^nestjs-service-auth$': '<rootDir>/lib/index.ts',
    '^nestjs-service-auth/([a-z]+)$': '<rootDir>/lib/$1.ts',
  },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: {
            legacyDecorator: true,
            decoratorMetadata: true,
            useDefineForClassFields: false,
          },
          keepClassNames: true,
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  // Generous: a busy machine is no failure, and nothing here measures time.
  testTimeout: 30_000,
  // The command line is tested as it is built, in processes of its own.
  collectCoverageFrom: [
    'lib/**/*.ts',
    '!lib/*.ts',
    'lib/service-auth.ts',
    '!lib/core/index.ts',
    '!lib/cli/**',
  ],
};

/** Tests of what `npm run build` writes. The build is renewed first where a source is newer. */
const DIST = {
  ...SOURCES,
  displayName: 'dist',
  testRegex: '\\.dist\\.spec\\.ts$',
  globalSetup: '<rootDir>/scripts/build-if-stale.mjs',
};

/** @type {import('jest').Config} */
export default {
  projects: [SOURCES, DIST],
  // Each file brings a module graph of its own into memory: workers that have grown are replaced.
  maxWorkers: '100%',
  workerIdleMemoryLimit: '300MB',
  coverageProvider: 'v8',
  reporters: ['default', '<rootDir>/scripts/attack-page.reporter.mjs'],
  // With `projects`, Jest takes these from here.
  testTimeout: SOURCES.testTimeout,
  collectCoverageFrom: SOURCES.collectCoverageFrom,
};
