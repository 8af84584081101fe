// Takes the comments out of a source file, as a page that the rules can read.
import ts from 'typescript';

/** Written for a program: directives, and types in comments. */
const DIRECTIVE = /^(?:@ts-|eslint|oxlint|prettier|c8|v8|istanbul|Stryker|#|\/|!)/;
const TYPES = /^@(?:import|typedef|type|returns? \{[^}]*\}$|template \w+$)/;
const PARAMETER = /^@(?:param|property)\s+(?:\{[^}]*\}\s*)?(?:\[[^\]]*\]|[\w$.]+)\s*(?:-\s*)?/;
const TAG = /^@\w+\s*(?:\{[^}]*\}\s*)?/;

/**
 * @param {string} source TypeScript or JavaScript
 * @returns {{ page: string, lines: number[] }} Markdown, and for each of its lines the line of the source
 */
export function commentsOf(source) {
  const page = [];
  const lines = [];
  const starts = ts.computeLineStarts(source);
  let previous;
  for (const { pos, end, kind } of rangesOf(source)) {
    const line = ts.computeLineAndCharacterOfPosition(starts, pos).line + 1;
    const isOnOwnLine = source.slice(starts[line - 1], pos).trim() === '';
    const isLine = kind === ts.SyntaxKind.SingleLineCommentTrivia;
    const follows = isLine && isOnOwnLine && previous === line - 1;
    if (!follows) add('', line);
    previous = isLine && isOnOwnLine ? line : undefined;
    addText(isLine ? [source.slice(pos + 2, end)] : linesOfBlock(source.slice(pos, end)), line);
  }
  return { page: page.join('\n'), lines };

  function add(text, line) {
    page.push(text);
    lines.push(line);
  }

  function addText(texts, first) {
    let isCode = false;
    for (const [index, raw] of texts.entries()) {
      const text = raw.trim();
      if (text.startsWith('```')) isCode = !isCode;
      const line = first + index;
      if (isCode || text.startsWith('```')) add(raw, line);
      else if (DIRECTIVE.test(text) || TYPES.test(text)) add('', line);
      else {
        if (text.startsWith('@')) add('', line);
        add(plain(text), line);
      }
    }
  }
}

/** The tag and the name are no words of the sentence. */
function plain(text) {
  return text
    .replace(PARAMETER, '')
    .replace(TAG, '')
    .replace(/\{@link (?:[^}|]*\|\s*)?([^}]*)\}/g, '`$1`');
}

function linesOfBlock(comment) {
  return comment
    .replace(/^\/\*+/, '')
    .replace(/\*+\/$/, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, ''));
}

/** Comments are trivia of tokens: only a parse finds them all, since `/` and `` ` `` depend on what precedes. */
function rangesOf(source) {
  const file = ts.createSourceFile('file.ts', source, ts.ScriptTarget.Latest, true);
  const ranges = new Map();
  visit(file);
  return [...ranges.values()].toSorted((one, other) => one.pos - other.pos);

  function visit(node) {
    if (node.kind !== ts.SyntaxKind.JsxText) {
      for (const range of [
        ...(ts.getLeadingCommentRanges(source, node.getFullStart()) ?? []),
        ...(ts.getTrailingCommentRanges(source, node.getEnd()) ?? []),
      ]) {
        ranges.set(range.pos, range);
      }
    }
    if (node.kind < ts.SyntaxKind.FirstJSDocNode || node.kind > ts.SyntaxKind.LastJSDocNode) {
      for (const child of node.getChildren(file)) visit(child);
    }
  }
}
