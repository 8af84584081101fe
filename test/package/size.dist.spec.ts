import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
/** How much the package may grow or shrink before the page must say so. */
const TOLERANCE = 0.05;

/** What npm would publish of this build. */
function packed(): { size: number; unpackedSize: number } {
  const args = ['pack', '--dry-run', '--ignore-scripts', '--json'];
  const answer = execFileSync('npm', args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
  const [report] = JSON.parse(answer) as { size: number; unpackedSize: number }[];
  if (!report) throw new Error(`npm reports no package: ${answer}`);
  return report;
}

describe('the size of the package', () => {
  it('is the one that docs/package.md says, within 5 %', () => {
    const page = readFileSync(join(ROOT, 'docs/package.md'), 'utf8');
    const [, ...figures] = /(\d+) kB packed, (\d+) kB unpacked/.exec(page) ?? [];
    const { size, unpackedSize } = packed();
    const actual = [size, unpackedSize].map((bytes) => bytes / 1000);
    const apart = actual.map((value, index) => Math.abs(Number(figures[index]) / value - 1));
    expect({ actual, apart: Math.max(...apart) < TOLERANCE }).toEqual({ actual, apart: true });
  });
});
