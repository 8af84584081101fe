/**
 * `describe` or `it` for tests that need what a machine may lack, such as a Redis. Where it is missing they are
 * skipped, and a line says so: a user's machine need not have everything. CI installs all of it, and fails when a test
 * was skipped (scripts/check.mjs).
 *
 * @param what it is, as in "what needs a redis-server"
 */
export function whereThereIs<Tests extends { readonly skip: Tests }>(
  isThere: boolean,
  what: string,
  tests: Tests,
): Tests {
  if (isThere) return tests;
  console.warn(`Skipped: what needs ${what}, for there is none.`);
  return tests.skip;
}
