// Writes docs/errors.md from the tables of the library and the explanations beside this file:
//   node scripts/make-errors-page.mjs, or with `--check`: fails when the page is not what would be written.
// Needs a build.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REFUSALS, SIGNING_FAILURES } from 'nestjs-service-auth/core';
import { REFUSAL_CAUSES, SIGNING_CAUSES, STATUSES } from './error-causes.mjs';
import { ROOT } from './run.mjs';

/** @typedef {import('./error-causes.mjs').Explanation} Explanation */

const PAGE = join(ROOT, 'docs/errors.md');

const INTRODUCTION = `# Errors

<!-- Written by scripts/make-errors-page.mjs. Change the tables it reads, not this page. -->

Every refusal and every failure has a code that does not change. A refused request is answered with the code and one fixed sentence; what
exactly failed is in the log of the receiver, at debug level: see [observability](observability.md).

\`\`\`json
{ "statusCode": 401, "message": "The service token was made for another body.", "error": "Unauthorized", "code": "body_mismatch" }
\`\`\`

In code, a refusal is a \`ServiceTokenRefusedError\`, an undecided request a \`ServiceAuthUnavailableError\`, an unsigned call a
\`ServiceSigningError\`. All are a \`ServiceAuthError\` with \`code\`.`;

const CONFIGURATION = `## At start, and in code

| code | class | why, and what to do |
| --- | --- | --- |
| \`config_error\` | \`ServiceAuthConfigError\` | The options are wrong. The message lists every problem, each as \`field: what to write\`; \`problems\` has them as an array. |
| \`usage_error\` | \`ServiceAuthUsageError\` | The library is used where it cannot work. The message says what to add. |`;

/** @returns {string} the page */
function page() {
  const refusals = STATUSES.map(([status, title, who]) => {
    const codes = Object.entries(REFUSALS).filter(([, refusal]) => refusal.status === status);
    const parts = codes.map(([code, { message }]) => entry(code, message, REFUSAL_CAUSES));
    return [`## ${status}: ${title}`, who, ...parts].join('\n\n');
  });
  const failures = Object.entries(SIGNING_FAILURES).map(([code, message]) =>
    // One code is a refusal and a failure; a heading is a link, and there cannot be two.
    entry(code, message, SIGNING_CAUSES, code in REFUSALS ? ' (before sending)' : ''),
  );
  const sending = '## Calls that are not signed';
  const who = 'The call was refused before a byte left. This service must change something.';
  const parts = [INTRODUCTION, contents(), ...refusals, [sending, who, ...failures].join('\n\n')];
  return `${[...parts, CONFIGURATION].join('\n\n')}\n`;
}

/**
 * @param {string} code
 * @param {string} message
 * @param {Readonly<Record<string, Explanation>>} explanations
 */
function entry(code, message, explanations, note = '') {
  const { cause, remedy } = explanations[code];
  return [`### \`${code}\`${note}`, `> ${message}`, `**Why.** ${cause}`, `**Do.** ${remedy}`].join(
    '\n\n',
  );
}

/** The codes in the order of the alphabet, for whoever comes with one. */
function contents() {
  const codes = Object.keys(REFUSALS).map((code) => `[\`${code}\`](#${code})`);
  const failures = Object.keys(SIGNING_FAILURES)
    .filter((code) => !(code in REFUSALS))
    .map((code) => `[\`${code}\`](#${code})`);
  return [...codes, ...failures].toSorted().join('\n');
}

const text = page();
if (!process.argv.includes('--check')) writeFileSync(PAGE, text);
else if (readFileSync(PAGE, 'utf8') !== text) {
  console.error(
    'docs/errors.md is not what the tables say: run `node scripts/make-errors-page.mjs`',
  );
  process.exitCode = 1;
}
