// The average sentence of a page, and of the comments of a file, has at most 20 words, and none has more than 40.
import { basename } from 'node:path';

const MOST_ON_AVERAGE = 20;
/** An average of fewer sentences says nothing about the comments of a file. */
const FEWEST_IN_COMMENTS = 10;
const MOST = 40;

/**
 * @param {import('@textlint/types').TextlintRuleContext} context
 * @param {{ measured?: (path: string, words: number[]) => void }} options
 */
export default function sentences(context, { measured } = {}) {
  const { Syntax, report, RuleError, getFilePath } = context;
  const path = getFilePath() ?? '';
  const fewest = /\.(?:ts|mjs|js)\.md$/.test(basename(path)) ? FEWEST_IN_COMMENTS : 1;
  const lengths = [];
  let isWritten = false; // by a script, between comments
  return {
    [Syntax.Html]({ value }) {
      if (/^<!-- (?:node|table|codes)/.test(value)) isWritten = true;
      if (/^<!-- (?:end|\/codes)/.test(value)) isWritten = false;
    },
    [Syntax.Paragraph](node) {
      if (isWritten || isInTable(node)) return;
      for (const sentence of sentencesOf(plainText(node))) {
        const words = sentence.split(/\s+/).filter((word) => /\w/.test(word)).length;
        if (words === 0) continue;
        lengths.push(words);
        if (words > MOST) {
          report(
            node,
            new RuleError(
              `A sentence of ${words} words: "${sentence.slice(0, 60)}...". Make it two.`,
            ),
          );
        }
      }
    },
    [Syntax.DocumentExit](node) {
      measured?.(path, lengths);
      if (lengths.length < fewest) return;
      const average = lengths.reduce((sum, words) => sum + words, 0) / lengths.length;
      if (average <= MOST_ON_AVERAGE) return;
      report(
        node,
        new RuleError(
          `The average sentence has ${average.toFixed(1)} words: at most ${MOST_ON_AVERAGE}.`,
        ),
      );
    },
  };
}

function isInTable(node) {
  for (let at = node.parent; at; at = at.parent) if (/^Table/.test(at.type)) return true;
  return false;
}

/** What a reader reads: code in the line is one word. */
function plainText(node) {
  if (node.type === 'Str') return node.value;
  if (node.type === 'Code') return 'Code';
  if (node.type === 'Break') return ' ';
  return (node.children ?? []).map(plainText).join('');
}

function sentencesOf(text) {
  return text.split(/(?<=[.!?])\s+/).map((part) => part.trim());
}
