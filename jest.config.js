import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
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
 * Specs that need packages of tools/. They are left out until those are installed: `npm run test:all` installs them and
 * runs all tests. test/package/maps.spec.ts compares the list with what specs import.
 */
export const NEEDS_TOOLS = {
  tests: [
    'clients/cached-grants',
    'clients/caches',
    'docs/clusters',
    'docs/for-whom',
    'docs/messages',
    'docs/messages-other-languages',
    'docs/observability',
    'docs/snippets',
    'docs/testing-your-application',
    'for-whom/printed-identities',
    'nest/key-health',
    'nest/kinds/configurations',
    'nest/kinds/hybrid',
    'nest/kinds/neighbours',
    'nest/kinds/propagation',
    'nest/kinds/report-only',
    'nest/kinds/wildcards',
    'nest/messages/answer-keys',
    'nest/messages/answers',
    'nest/messages/attacks',
    'nest/messages/message-clients',
    'nest/messages/message-texts',
    'nest/messages/nest-11',
    'nest/messages/rabbitmq-deliveries',
    'nest/messages/refused-messages',
    'nest/messages/replicas',
    'nest/messages/service-messages.module',
    'nest/messages/unsigned-answers',
    'nest/openapi-answers',
    'nest/openapi-document',
    'nest/pino-redaction',
    'observability/open-telemetry-observer',
    'observability/prometheus',
    'sample/edge',
    'sample/page-browser',
    'sample/swagger-ui',
    'testing/clients',
    'testing/grants',
    'testing/service-auth-testing',
    'testing/two-services',
    'testing/vitest',
  ],
  lint: ['package/layout'],
};

/** @param {string} name a folder of tools/; on Nest 11, all packages are those of the project */
function isMissing(name) {
  const folder = join(import.meta.dirname, 'tools', name);
  return existsSync(folder) && !existsSync(join(folder, 'node_modules'));
}

const LEFT_OUT = Object.entries(NEEDS_TOOLS).flatMap(([name, specs]) =>
  isMissing(name) ? specs : [],
);
if (LEFT_OUT.length > 0) {
  console.error(`${LEFT_OUT.length} specs need more packages: npm run test:all installs them.`);
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
  testPathIgnorePatterns: [
    '/node_modules/',
    '<rootDir>/test/package/consumers/',
    ...LEFT_OUT.map((spec) => `<rootDir>/test/${spec}\\.spec\\.ts$`),
  ],
  extensionsToTreatAsEsm: ['.ts'],
  // Where @nestjs/microservices, of the root, finds the client of MQTT.
  modulePaths: ['<rootDir>/test/node_modules'],
  moduleNameMapper: {
    // Sources import each other as './x.js' (nodenext); the files on disk are './x.ts'.
    '^(\\.{1,2}/.*)\\.js$': '$1',
    // The entry points of the package: each is built from the file that has its name.
    '^nestjs-service-auth$': '<rootDir>/lib/index.ts',
    '^nestjs-service-auth/([a-z]+)$': '<rootDir>/lib/$1.ts',
  },
  transform: {
    '^.+\\.ts$': '<rootDir>/test/transform.mjs',
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
  reporters: [
    'default',
    '<rootDir>/scripts/attack-page.reporter.mjs',
    '<rootDir>/scripts/stuck-suites.reporter.mjs',
  ],
  // With `projects`, Jest takes these from here.
  testTimeout: SOURCES.testTimeout,
  collectCoverageFrom: SOURCES.collectCoverageFrom,
};
