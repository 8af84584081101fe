// A guide begins with what its reader can do after it.
import { basename, dirname } from 'node:path';

/** Pages that a script writes, and pages for reference alone. */
const OTHERS = new Set(['attacks.md', 'errors.md', 'removed-checks.md', 'protocol.md', 'faq.md']);

/** @param {import('@textlint/types').TextlintRuleContext} context */
export default function opening(context) {
  const { Syntax, report, RuleError, getFilePath, getSource } = context;
  let isFirst = true;
  const path = getFilePath() ?? '';
  const isGuide = basename(dirname(path)) === 'docs' && !OTHERS.has(basename(path));
  return {
    [Syntax.Paragraph](node) {
      if (!isFirst || !isGuide) return;
      isFirst = false;
      if (getSource(node).startsWith('After this page')) return;
      report(node, new RuleError('Begin with "After this page you can ...".'));
    },
  };
}
