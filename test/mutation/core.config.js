import base from './base.config.js';

/** What is run for every mutant of lib/core and of the memory store: fast, without HTTP. */
export default { ...base, testRegex: ['test/(?:core|replay|vectors)/.*\\.spec\\.ts$'] };
