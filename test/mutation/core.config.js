import config from '../../jest.config.js';

/** What is run for every mutant of lib/core: fast, without HTTP. */
export default {
  ...config,
  rootDir: '../..',
  testMatch: undefined,
  testRegex: ['test/core/.*\\.spec\\.ts$'],
};
