import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REFUSALS, SIGNING_FAILURES } from 'nestjs-service-auth/core';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (page: string): string => readFileSync(join(ROOT, page), 'utf8');

/** What each page says of each code; `node scripts/make-errors-page.mjs` writes it. */
const PLACES: Readonly<Record<string, (code: string) => string>> = {
  'docs/errors.md': (code) => `### \`${code}\``,
};

/** Those of requests are on one page, those of calls on the other. */
const PAGES_BY_KIND = {
  'docs/receiving.md': Object.keys(REFUSALS),
  'docs/calling.md': Object.keys(SIGNING_FAILURES),
};

describe('no code is missing in the documentation', () => {
  const codes = [...Object.keys(REFUSALS), ...Object.keys(SIGNING_FAILURES)];

  it.each(Object.entries(PLACES))('%s', (page, placeOf) => {
    const text = read(page);
    expect(codes.filter((code) => !text.includes(placeOf(code)))).toEqual([]);
  });

  it.each(Object.entries(PAGES_BY_KIND))('%s', (page, those) => {
    const text = read(page);
    expect(those.filter((code) => !text.includes(`\`${code}\``))).toEqual([]);
  });

  it('docs/protocol.md, with each status and sentence', () => {
    const rows = [...read('docs/protocol.md').matchAll(/^\| `(\w+)` \| ([\d, ]+) \| (.*) \|$/gm)];
    const documented = rows.map(([, code, statuses, message]) => ({ code, statuses, message }));
    const actual = Object.entries(REFUSALS).map(([code, { status, otherStatuses, message }]) => ({
      code,
      statuses: [status, ...(otherStatuses ?? [])].toSorted((one, other) => one - other).join(', '),
      message,
    }));
    expect(documented).toEqual(actual);
  });
});

/** More than this is too long for the end of a line in a log. */
const LOG_CHARACTERS = 130;

describe('what a row says', () => {
  const rows = Object.entries({ ...SIGNING_FAILURES, ...REFUSALS });
  const anchorsOf = (page: string): string[] =>
    [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w\s-]/g, '')
        .replaceAll(/\s/g, '-'),
    );

  it.each(rows)('%s: whole sentences, and a page that exists', (_code, row) => {
    for (const text of [row.message, row.cause, row.hint]) expect(text).toMatch(/^[A-Z].*\.$/s);
    const [page = 'errors.md', anchor] = row.page?.split('#') ?? [];
    const anchors = anchorsOf(`docs/${page}`);
    if (anchor !== undefined) expect(anchors).toContain(anchor);
  });

  it.each(Object.entries(REFUSALS))('%s: one short line for the log', (_code, row) => {
    const { hint, logHint } = row;
    expect(logHint ?? hint).toMatch(/^[A-Z].*\.$/);
    expect((logHint ?? hint).length).toBeLessThanOrEqual(LOG_CHARACTERS);
    // A hint that fits is the log's too.
    if (logHint !== undefined) expect(hint.length).toBeGreaterThan(logHint.length);
  });
});
