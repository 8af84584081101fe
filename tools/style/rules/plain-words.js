// Words and turns that the style does without, each with what to write.
const TURNS = [
  [/\bwhoever\b/gi, 'name who it is'],
  [/\bwhat is there\b/gi, 'name the noun'],
  [/\bthose that come\b/gi, 'name the noun'],
  [/, say[,.)]/gi, 'write "such as" before the example'],
  [/\b(?:is|be|are|was|were) had\b/gi, 'write who has it, or "is missing"'],
  [/\bfor want of\b/gi, 'write "without"'],
  [/\bhears? of\b/gi, 'observers are called'],
  [/\b(?:is|are) dear\b/gi, 'write "costs much"'],
  [/\bsuch an? one\b/gi, 'name the noun'],
  [/\btells of\b/gi, 'write "reports"'],
  [/\bin the place of\b/gi, 'write "instead of"'],
  [/\bby and by\b/gi, 'write "later"'],
  [/\bmake (?:it )?do with\b/gi, 'write "use"'],
  [/\bnor is it\b/gi, 'begin with the subject'],
  [/\bno more than\b/gi, 'write "at most"'],
  [/\bhas to be had\b/gi, 'write who needs it'],
  [/\bfor ever\b/gi, 'write "forever"'],
  [/\bit is of no\b/gi, 'begin with the subject'],
];

/** Of comments in sources only: pages use some of these in another sense. */
const TURNS_OF_COMMENTS = [
  [/\bhears?\b/gi, 'an observer is called'],
  [/\b(?:tells?|told)\b/gi, 'write who reports, decides or distinguishes what'],
  [/\bgoes along\b/gi, 'write "is sent"'],
  [/\bstands? (?:for|before|in for)\b/gi, 'write "represents", "guards" or "replaces"'],
  [/\bwhat becomes of\b/gi, 'write what the service does'],
  [/\bin our words\b/gi, 'write "words of this library"'],
  [/\bout of reach\b/gi, 'write "unreachable"'],
  [/\banew\b/gi, 'write "again"'],
];

/** @param {import('@textlint/types').TextlintRuleContext} context */
export default function plainWords(context) {
  const { Syntax, report, RuleError, getFilePath, getSource, locator } = context;
  const isOfComments = /\.(?:ts|mjs|js)\.md$/.test(getFilePath() ?? '');
  const turns = isOfComments ? [...TURNS, ...TURNS_OF_COMMENTS] : TURNS;
  return {
    [Syntax.Str](node) {
      const text = getSource(node);
      for (const [pattern, advice] of turns) {
        for (const match of text.matchAll(pattern)) {
          const padding = locator.range([match.index, match.index + match[0].length]);
          report(node, new RuleError(`"${match[0]}": ${advice}.`, { padding }));
        }
      }
    },
  };
}
