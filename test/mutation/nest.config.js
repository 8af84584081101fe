import base from './base.config.js';

/** What is run for every mutant of the guard: real requests to applications on both frameworks. */
export default {
  ...base,
  testRegex: [
    'test/nest/(?:guard-checks|refusals|guard|call-context|decorators|http-exceptions|unsupported-contexts|propagation|surroundings)\\.spec\\.ts$',
  ],
};
