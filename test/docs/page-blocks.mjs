// The code blocks of a page. What follows the language in the opening line says what a test does with it:
//   ```ts file=src/app.module.ts   written to that file (and compiled, as every `ts` block is)
//   ```sh package                  makes the tarball of the package: the test has made it, and puts it in the folder
//   ```sh run                      run in the folder of the page; must succeed
//   ```sh start                    run until the test is over; must say that it has started
//   ```json output                 what the block before it must print
// A further word, such as nest-11, restricts the block to that variant of the page.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const WORDS = new Set(['package', 'run', 'start', 'output']);

/**
 * @typedef {{ language: string, file?: string, role?: string, variant?: string, code: string, line: number }} Block
 */

/**
 * Every fenced block of a page, in its order.
 *
 * @param {string} page its path in the project
 * @returns {Block[]}
 * @throws when a fence is not closed
 */
export function readBlocks(page) {
  /** @type {Block[]} */
  const blocks = [];
  /** @type {{ block: Block, fence: string } | undefined} */
  let open;
  for (const [at, line] of readFileSync(join(ROOT, page), 'utf8').split('\n').entries()) {
    const fence = /^(```+)(.*)$/.exec(line);
    if (open && fence?.[1] === open.fence && fence[2] === '') {
      blocks.push(open.block);
      open = undefined;
    } else if (open) open.block.code += `${line}\n`;
    else if (fence) open = { fence: fence[1] ?? '', block: toBlock(fence[2] ?? '', at + 1) };
  }
  if (open) throw new Error(`${page}:${open.block.line}: the block has no end`);
  return blocks;
}

/**
 * @param {string} info what follows the fence
 * @param {number} line
 * @returns {Block}
 */
function toBlock(info, line) {
  const [language = '', ...words] = info.trim().split(/\s+/);
  return {
    language,
    file: words.find((word) => word.startsWith('file='))?.slice('file='.length),
    role: words.find((word) => WORDS.has(word)),
    variant: words.find((word) => !WORDS.has(word) && !word.startsWith('file=')),
    code: '',
    line,
  };
}
