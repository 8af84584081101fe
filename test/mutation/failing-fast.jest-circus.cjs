const { createEmptyTestResult } = require('@jest/test-result');
const { default: runFile } = require('jest-circus/runner');
const { activeMutant } = require('./active-mutant.cjs');

/** The mutant whose tests have begun to fail. */
let failed;

/** The names of the tests of each file, once it has been run. */
const namesOf = new Map();

/**
 * jest-circus, but a file is not even loaded when the mutant is killed already, or when the file is
 * known to hold none of the tests that reach the mutant.
 */
module.exports = async (globalConfig, config, environment, runtime, path, ...others) => {
  const mutant = activeMutant();
  if (mutant !== undefined && (failed === mutant || !holdsAny(globalConfig.testNamePattern, path))) {
    return { ...createEmptyTestResult(), testFilePath: path };
  }
  const result = await runFile(globalConfig, config, environment, runtime, path, ...others);
  const names = result.testResults.map(({ fullName }) => fullName);
  if (names.length > 0) namesOf.set(path, names);
  if (result.numFailingTests > 0 || result.testExecError) failed = mutant;
  return result;
};

function holdsAny(pattern, path) {
  const names = namesOf.get(path);
  if (!pattern || !names) return true;
  const expression = new RegExp(pattern, 'i');
  return names.some((name) => expression.test(name));
}
