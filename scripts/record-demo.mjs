/**
 * Records `nestjs-service-auth demo` as an animated SVG, docs/demo.svg: `node scripts/record-demo.mjs`, after a build. The text
 * is that of a real run. Lines appear at a pace for reading, since the run itself takes less than a second.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { ROOT } from './run.mjs';

const PROGRAM = join(ROOT, 'dist/cli/main.js');
const FILE = join(ROOT, 'docs/demo.svg');
const COMMAND = '$ npx nestjs-service-auth demo';

const LINE_HEIGHT = 19;
const CHARACTER_WIDTH = 7.85;
const MARGIN = 18;
const SECONDS_A_LINE = 0.4;
const LARGEST_BYTES = 100_000;

/** The class of each escape sequence of the program. */
/** @type {Record<string, string>} */
const CLASSES = { 1: 'b', 2: 'd', 31: 'r', 32: 'g', 33: 'y', 36: 'c' };

/** @param {string} text */
function escapeXml(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/**
 * One line of the terminal as spans. Each has its own place, so that a font of another width moves no column.
 *
 * @param {string} line
 */
function spansOf(line) {
  let column = 0;
  let style = '';
  /** @type {string[]} */
  const spans = [];
  for (const [index, part] of line.split('\u001b[').entries()) {
    // What follows an escape begins with its number and an m.
    const end = index === 0 ? 0 : part.indexOf('m') + 1;
    if (index > 0) style = CLASSES[part.slice(0, end - 1)] ?? '';
    const text = part.slice(end);
    for (const { 0: words, index: place } of text.matchAll(/\S+(?: \S+)*/g)) {
      const x = (MARGIN + (column + place) * CHARACTER_WIDTH).toFixed(1);
      const name = style === '' ? '' : ` class="${style}"`;
      spans.push(`<tspan x="${x}"${name}>${escapeXml(words)}</tspan>`);
    }
    column += text.length;
  }
  return spans.join('');
}

const output = execFileSync(process.execPath, [PROGRAM, 'demo'], {
  encoding: 'utf8',
  env: { ...process.env, FORCE_COLOR: '1' },
});
const lines = [COMMAND, ...output.trimEnd().split('\n')];
const columns = Math.max(...lines.map((line) => stripVTControlCharacters(line).length));
const width = Math.ceil(2 * MARGIN + columns * CHARACTER_WIDTH);
const height = 2 * MARGIN + lines.length * LINE_HEIGHT;

const texts = lines.flatMap((line, index) => {
  const spans = spansOf(line);
  if (spans === '') return [];
  const y = MARGIN + 14 + index * LINE_HEIGHT;
  const delay = (index * SECONDS_A_LINE).toFixed(1);
  return [`<text y="${y}" style="animation-delay:${delay}s">${spans}</text>`];
});

// Where nothing is animated, all lines are there. The colours have a contrast of 4.5 and more on their background.
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="A recording of nestjs-service-auth demo">
<style>
rect { fill: #f6f8fa; stroke: #d0d7de }
text { fill: #1f2328; font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; animation: appear .3s both }
.b { font-weight: bold } .d { fill: #59636e } .c { fill: #0550ae } .g { fill: #116329 } .y { fill: #7d4e00 } .r { fill: #a40e26 }
@keyframes appear { from { opacity: 0 } }
@media (prefers-color-scheme: dark) {
rect { fill: #0d1117; stroke: #3d444d }
text { fill: #e6edf3 }
.d { fill: #9198a1 } .c { fill: #79c0ff } .g { fill: #56d364 } .y { fill: #e3b341 } .r { fill: #ff7b72 }
}
@media (prefers-reduced-motion: reduce) { text { animation: none } }
</style>
<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="8"/>
${texts.join('\n')}
</svg>
`;
if (svg.length > LARGEST_BYTES) throw new Error(`${svg.length} bytes are too many`);
writeFileSync(FILE, svg);
console.log(`docs/demo.svg: ${lines.length} lines, ${svg.length} bytes`);
