const { createRequire } = require('node:module');
const { createEmptyTestResult } = require('@jest/test-result');
const { activeMutant } = require('./active-mutant.cjs');

/** @typedef {import('@jest/test-result').TestResult} TestResult */
/** @typedef {import('@jest/types').Config.GlobalConfig} GlobalConfig */
/**
 * @typedef {(globalConfig: GlobalConfig, config: object, environment: object, runtime: object,
 *   path: string, ...others: unknown[]) => Promise<TestResult>} RunFile
 */

/** It comes without types. */
const { default: runFile } = /** @type {{ default: RunFile }} */ (
  createRequire(__filename)('jest-circus/runner')
);

/**
 * The mutant whose tests have begun to fail.
 *
 * @type {string | undefined}
 */
let failed;

/**
 * The names of the tests of each file, once it has been run.
 *
 * @type {Map<string, string[]>}
 */
const namesOf = new Map();

/**
 * jest-circus, but a file is not even loaded when the mutant is killed already, or when the file is
 * known to hold none of the tests that reach the mutant.
 *
 * @type {RunFile}
 */
module.exports = async (globalConfig, config, environment, runtime, path, ...others) => {
  const mutant = activeMutant();
  const isKilled = mutant !== undefined && failed === mutant;
  if (mutant !== undefined && (isKilled || !holdsAny(globalConfig.testNamePattern, path))) {
    return skipped(path);
  }
  const result = await runFile(globalConfig, config, environment, runtime, path, ...others);
  const names = result.testResults.map(({ fullName }) => fullName);
  if (names.length > 0) namesOf.set(path, names);
  if (result.numFailingTests > 0 || result.testExecError) failed = mutant;
  return result;
};

/**
 * Jest takes a file without any test for a failure, so there is one.
 *
 * @param {string} path
 * @returns {TestResult}
 */
function skipped(path) {
  const title = 'not run';
  const test = { title, fullName: title, status: /** @type {const} */ ('pending') };
  const nothing = { ancestorTitles: [], failureMessages: [], failureDetails: [] };
  return {
    ...createEmptyTestResult(),
    testFilePath: path,
    numPendingTests: 1,
    testResults: [{ ...test, ...nothing, numPassingAsserts: 0 }],
  };
}

/**
 * @param {string | undefined} pattern
 * @param {string} path
 */
function holdsAny(pattern, path) {
  const names = namesOf.get(path);
  if (!pattern || !names) return true;
  const expression = new RegExp(pattern, 'i');
  return names.some((name) => expression.test(name));
}
