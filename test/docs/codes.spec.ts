import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REFUSALS, SIGNING_FAILURES } from 'nestjs-service-auth/core';

const read = (page: string): string =>
  readFileSync(join(import.meta.dirname, '..', '..', page), 'utf8');

/** Every `code` in the cells of the table rows that begin with a status, by its status. */
function codesByRow(page: string): Map<string, string> {
  const rows = [...page.matchAll(/^\| ([\d, ]+) \|.*\| ((?:`\w+` ?)+)\|$/gm)];
  const cells = rows.flatMap(([, status = '', codes = '']) =>
    [...codes.matchAll(/`(\w+)`/g)].map(([, code = '']) => [code, status.trim()] as const),
  );
  return new Map(cells);
}

describe('the codes in the documentation are those of the library', () => {
  const refusals = Object.entries(REFUSALS).map(([code, { status }]) => [code, status] as const);

  it('in the README, each in the row of its status', () => {
    const documented = codesByRow(read('README.md'));
    expect(new Set(documented.keys())).toEqual(new Set(Object.keys(REFUSALS)));
    for (const [code, status] of refusals) expect(documented.get(code)).toContain(String(status));
  });

  it('in the protocol, each with its status', () => {
    const rows = [...read('docs/protocol.md').matchAll(/^\| `(\w+)` \| ([\d, ]+) \|/gm)];
    const documented = new Map(rows.map(([, code, statuses]) => [code, statuses]));
    expect(new Set(documented.keys())).toEqual(new Set(Object.keys(REFUSALS)));
    for (const [code, status] of refusals) expect(documented.get(code)).toContain(String(status));
  });

  it('in the README, why a call is not signed', () => {
    for (const code of Object.keys(SIGNING_FAILURES)) {
      expect(read('README.md')).toContain(`\`${code}\``);
    }
  });
});
