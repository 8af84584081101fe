// The outcomes of scripts/test-gateways.mjs as a table of docs/gateways.md.

const TITLES = /** @type {Record<string, string>} */ ({
  nginx: 'nginx',
  apache: 'Apache',
  caddy: 'Caddy',
  varnish: 'Varnish',
  haproxy: 'haproxy',
});

/**
 * @param {readonly import('../test-gateways.mjs').Outcome[]} outcomes
 * @param {Record<string, string>} versions
 * @returns {string} Markdown
 */
export function toTable(outcomes, versions) {
  const gateways = Object.keys(versions);
  const rows = [...new Set(outcomes.map(({ row }) => row))];
  const lines = rows.map((row) => ({
    row,
    cells: gateways.map((gateway) =>
      toCell(outcomes.filter((one) => one.row === row && one.gateway === gateway)),
    ),
  }));
  const isPlain = (/** @type {string[]} */ cells) => cells.every((cell) => cell === 'passes');
  const titles = gateways.map((gateway) => `${TITLES[gateway]} ${versions[gateway]}`);
  return [
    `| request | ${titles.join(' | ')} |`,
    `| --- |${' --- |'.repeat(gateways.length)}`,
    ...lines
      .filter(({ cells }) => !isPlain(cells))
      .map(({ row, cells }) => `| ${toCode(row)} | ${cells.join(' | ')} |`),
    '',
    'Passes everywhere:',
    wrap(lines.filter(({ cells }) => isPlain(cells)).map(({ row }) => toCode(row))),
  ].join('\n');
}

/** @param {readonly string[]} items */
function wrap(items) {
  const LONGEST = 140;
  /** @type {string[]} */
  const lines = [''];
  for (const item of items) {
    const last = lines.at(-1) ?? '';
    const longer = last === '' ? item : `${last}, ${item}`;
    if (longer.length < LONGEST) lines[lines.length - 1] = longer;
    else {
      lines[lines.length - 1] = `${last},`;
      lines.push(item);
    }
  }
  return `${lines.join('\n')}.`;
}

/** @param {string} row a target is code, and a bar would end the cell */
function toCode(row) {
  const text = row.startsWith('GET /') ? `\`${row}\`` : row;
  return text.replaceAll('|', '\\|');
}

/** @param {readonly import('../test-gateways.mjs').Outcome[]} outcomes of one request through one gateway */
function toCell(outcomes) {
  const resultOf = (/** @type {string} */ configuration) => {
    const results = outcomes.filter((one) => one.configuration === configuration);
    return [...new Set(results.map(({ result }) => toText(result)))].join(' or ');
  };
  const [usual, pass, strip, cache] = ['usual', 'pass', 'strip', 'cache'].map(resultOf);
  const parts = [usual === pass || pass === '' ? usual : `${usual} → ${pass}`];
  if (strip !== '' && strip !== pass) parts.push(`prefix: ${strip}`);
  if (cache !== '' && cache !== pass) parts.push(`cache: ${cache}`);
  return parts.join('; ');
}

/** @param {string} result */
function toText(result) {
  return /^(?:\d+|[a-z]+_[a-z_]+)$/.test(result) ? `\`${result}\`` : result;
}
