import base from './base.config.js';

/** How often each property is tried with random input for each mutant. */
process.env['PROPERTY_RUNS'] ??= '30';

/** What is run for every mutant of lib/core and of the memory store: fast, without HTTP or Redis. */
export default {
  ...base,
  testRegex: [
    'test/core/.*\\.spec\\.ts$',
    'test/replay/(?:memory-replay-store|digest-table)\\.spec\\.ts$',
    'test/vectors/(?:vectors|signing|published)\\.spec\\.ts$',
    'test/properties/(?:round-trip|claims|times|replay|grants)\\.spec\\.ts$',
  ],
};
