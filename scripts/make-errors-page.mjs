// Writes docs/errors.md, and the tables of codes in docs/receiving.md, docs/calling.md and docs/protocol.md, from lib/core/codes.ts:
//   node scripts/make-errors-page.mjs, or with `--check`: fails when a page is not what would be written.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { importSource, ROOT } from './run.mjs';

/** @typedef {{ message: string, cause: string, hint: string, page?: string }} Explanation */

const { ANSWER_FAILURES, REFUSALS, SETUP_ERRORS, SIGNING_FAILURES, STATUSES } =
  /** @type {typeof import('../lib/core/codes.js')} */ (await importSource('lib/core/codes.ts'));

const INTRODUCTION = `# Errors

<!-- Written by scripts/make-errors-page.mjs. Change lib/core/codes.ts, not this page. -->

Every refusal and every failure has a code that does not change. A refused request is answered with the code and one fixed sentence; what
exactly failed is in the log of the receiver: the first refusal of a trusted caller as a warning, its others of that minute and those of strangers at debug level. See
[observability](observability.md#the-log).

\`\`\`json
{ "statusCode": 401, "message": "The service token was made for another body.", "error": "Unauthorized", "code": "body_mismatch" }
\`\`\`

In code, a refusal is a \`ServiceTokenRefusedError\`, an undecided request a \`ServiceAuthUnavailableError\`, an unsigned call a
\`ServiceSigningError\`, an answer to a message that is not believed a \`ServiceAnswerRefusedError\`. All are a \`ServiceAuthError\` with \`code\`. \`npx nestjs-service-auth explain <code>\` says the same as this page.`;

const refusals = Object.entries(REFUSALS).map(([code, refusal]) => {
  const statuses = [refusal.status, ...(refusal.otherStatuses ?? [])].toSorted(
    (one, other) => one - other,
  );
  return { code, statuses, ...refusal };
});

const statuses = Object.entries(STATUSES).map(([status, row]) => ({
  ...row,
  status: Number(status),
  codes: refusals.filter((refusal) => refusal.statuses.some((one) => one === Number(status))),
}));

const inCode = (/** @type {string} */ code) => `\`${code}\``;

/** @returns {string} docs/errors.md */
function errorsPage() {
  // A code with several statuses has one section: that of the status it has without further words.
  const answers = statuses.flatMap(({ status, name, meaning, who, codes }) => {
    const entries = codes
      .filter((refusal) => refusal.status === status)
      .map((refusal) => entry(refusal.code, refusal));
    return entries.length === 0 ? [] : [`## ${status} ${name}`, `${meaning} ${who}`, ...entries];
  });
  const failures = Object.entries(SIGNING_FAILURES).map(([code, failure]) =>
    // One code is a refusal and a failure; a heading is a link, and there cannot be two.
    entry(code, failure, code in REFUSALS ? ' (before sending)' : ''),
  );
  const sending = 'The call was refused before a byte left. This service must change something.';
  const answersToMessages = Object.entries(ANSWER_FAILURES).map(([code, failure]) =>
    entry(code, failure),
  );
  const setup = Object.entries(SETUP_ERRORS).map(([code, error]) => entry(code, error));
  return `${[
    INTRODUCTION,
    contents(),
    ...answers,
    '## Calls that are not signed',
    sending,
    ...failures,
    '## Answers to messages that are not believed',
    'The message was sent. What somebody answered is not handed on: the call fails.',
    ...answersToMessages,
    '## At start, and in code',
    ...setup,
  ].join('\n\n')}\n`;
}

/**
 * @param {string} code
 * @param {Explanation} explanation
 */
function entry(code, { message, cause, hint, page }, note = '') {
  const [, name = ''] = /^([\w-]+)\.md/.exec(page ?? '') ?? [];
  const more = page === undefined ? '' : ` See [${name.replaceAll('-', ' ')}](${page}).`;
  return [
    `### \`${code}\`${note}`,
    `> ${message}`,
    `**Why.** ${cause}`,
    `**Do.** ${hint}${more}`,
  ].join('\n\n');
}

/** The codes in the order of the alphabet, for whoever comes with one. */
function contents() {
  const codes = [REFUSALS, SIGNING_FAILURES, ANSWER_FAILURES, SETUP_ERRORS].flatMap((table) =>
    Object.keys(table),
  );
  const links = [...new Set(codes)].map((code) => `[\`${code}\`](#${code})`);
  return links.toSorted().join('\n');
}

/** What stands between the marks of a page, by the name of the mark. */
const TABLES = {
  'refusals by status': [
    '| status | when | codes |',
    '| --- | --- | --- |',
    ...statuses.map(
      ({ status, meaning, codes }) =>
        `| ${status} | ${meaning} | ${codes.map(({ code }) => inCode(code)).join(' ')} |`,
    ),
  ],
  refusals: [
    '| code | status | the sentence of the answer |',
    '| --- | --- | --- |',
    ...refusals.map(
      ({ code, statuses: all, message }) => `| \`${code}\` | ${all.join(', ')} | ${message} |`,
    ),
  ],
  'answer failures': [
    '| code | the message of the error |',
    '| --- | --- |',
    ...Object.entries(ANSWER_FAILURES).map(([code, { message }]) => `| \`${code}\` | ${message} |`),
  ],
  'signing failures': [Object.keys(SIGNING_FAILURES).map(inCode).join(' ')],
};

/**
 * A page whose tables are those of the library.
 *
 * @param {string} path
 * @param {(keyof typeof TABLES)[]} names
 */
function pageWithTables(path, names) {
  return names.reduce(
    (page, name) => {
      const [before, rest, ...more] = page.split(`<!-- codes: ${name} -->\n`);
      const after = rest?.split('<!-- /codes -->').slice(1).join('<!-- /codes -->');
      if (!after || more.length > 0) throw new Error(`${path} has no one place for: ${name}`);
      const table = TABLES[name].join('\n');
      return `${before}<!-- codes: ${name} -->\n\n${table}\n\n<!-- /codes -->${after}`;
    },
    readFileSync(join(ROOT, path), 'utf8'),
  );
}

const pages = {
  'docs/errors.md': errorsPage(),
  'docs/receiving.md': pageWithTables('docs/receiving.md', ['refusals by status']),
  'docs/calling.md': pageWithTables('docs/calling.md', ['signing failures']),
  'docs/protocol.md': pageWithTables('docs/protocol.md', ['refusals', 'answer failures']),
};
for (const [path, text] of Object.entries(pages)) {
  if (!process.argv.includes('--check')) writeFileSync(join(ROOT, path), text);
  else if (readFileSync(join(ROOT, path), 'utf8') !== text) {
    console.error(
      `${path} is not what lib/core/codes.ts says: run \`node scripts/make-errors-page.mjs\``,
    );
    process.exitCode = 1;
  }
}
