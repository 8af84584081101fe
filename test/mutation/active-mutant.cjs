/** The id of the mutant that Stryker has switched on; undefined in the run without any. */
exports.activeMutant = () => process.env['__STRYKER_ACTIVE_MUTANT__'];
