import { SOURCES } from '../../jest.config.js';

/**
 * The specs with GraphQL: their packages are installed here, and Nest is that of the project, two folders up.
 *
 * @type {import('jest').Config}
 */
export default {
  ...SOURCES,
  displayName: 'graphql',
  rootDir: '../..',
  roots: ['<rootDir>/tools/graphql/test'],
  testPathIgnorePatterns: ['/node_modules/'],
  maxWorkers: 2,
  workerIdleMemoryLimit: '300MB',
  reporters: ['default', '<rootDir>/scripts/stuck-suites.reporter.mjs'],
};
