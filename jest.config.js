/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testRegex: '\\.spec\\.ts$',
  // Those are tests of applications that are made elsewhere: `npm run test:consumers`.
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
  // Each file brings a module graph of its own into memory: workers that have grown are replaced.
  maxWorkers: '100%',
  workerIdleMemoryLimit: '300MB',
  coverageProvider: 'v8',
  // The command line is tested as it is built, in processes of its own.
  collectCoverageFrom: [
    'lib/**/*.ts',
    '!lib/*.ts',
    'lib/service-auth.ts',
    '!lib/core/index.ts',
    '!lib/cli/**',
  ],
};
