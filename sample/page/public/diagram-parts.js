import { svg } from './dom.js';
import { nameOf, PARTIES, stateWords } from './parties.js';

/** @import { Step } from '../steps.js' */
/** @import { State } from '../state.service.js' */
/** @import { Layout } from './diagram-layout.js' */

const HEAD = 7;
const CHARACTER = 7.3;

/** @typedef {Pick<Step, 'kind' | 'from' | 'to' | 'line' | 'status' | 'token'>} Drawn */

/**
 * The box of each party, and the line below it.
 *
 * @param {Layout} layout
 * @param {{ steps: number, services: State['services'] }} shown
 */
export function partiesOf(layout, { steps, services }) {
  return PARTIES.flatMap(([id, name, does]) => {
    const x = layout.xOf(id);
    const { boxWidth: width, boxHeight: height, isNarrow } = layout;
    const state = services.find((service) => service.name === id)?.state ?? 'up';
    const isDown = state !== 'up';
    const box = { x: x - width / 2, y: 1, width, height, rx: 7, class: 'party-box' };
    const below = isDown ? stateWords(state) : does;
    const hasTwoLines = !isNarrow || isDown;
    const nameY = hasTwoLines ? (isNarrow ? 13 : 20) : 20;
    const text = { x, y: nameY, 'text-anchor': 'middle', class: 'party-name' };
    const does_ = { x, y: isNarrow ? 25 : 36, 'text-anchor': 'middle', class: 'party-does' };
    return [
      ...lifelines(layout, x, steps),
      svg(
        'g',
        { class: isDown ? 'party down' : 'party', 'data-party': id },
        svg('rect', box),
        svg('text', text, name),
        ...(hasTwoLines ? [svg('text', does_, below)] : []),
      ),
    ];
  });
}

/**
 * @param {Layout} layout
 * @param {number} x
 * @param {number} steps
 */
function lifelines(layout, x, steps) {
  const line = (/** @type {number} */ from, /** @type {number} */ to) =>
    svg('line', { x1: x, x2: x, y1: from, y2: to, class: 'lifeline' });
  const { boxHeight, isNarrow } = layout;
  if (!isNarrow) return [line(boxHeight + 1, layout.heightOf(steps))];
  return Array.from({ length: steps }, (_, at) => line(layout.yOf(at) - 8, layout.yOf(at) + 8));
}

/**
 * @param {Layout} layout
 * @param {Drawn} step
 * @param {number} at
 */
export function arrowOf(layout, step, at) {
  const y = layout.yOf(at);
  const from = layout.xOf(step.from);
  const to = layout.xOf(step.to);
  const back = from > to ? HEAD : -HEAD;
  const isRefusal = step.kind === 'lost' || (step.status ?? 0) >= 400;
  const top = layout.top + layout.row * at;
  const hit = { class: 'hit', x: 0, y: top, width: layout.width, height: layout.row, rx: 8 };
  return svg(
    'g',
    { class: `arrow ${step.kind}${isRefusal ? ' refusal' : ''}` },
    svg('rect', hit),
    svg('line', { class: 'shaft', x1: from, x2: to + back, y1: y, y2: y }),
    step.kind === 'lost'
      ? svg('path', { class: 'cross', d: `M${to - 11} ${y - 6}l12 12m0 -12l-12 12` })
      : svg('path', { class: 'head', d: `M${to} ${y}l${back} -5v10z` }),
    labelOf(layout, step, at),
  );
}

/**
 * @param {Layout} layout
 * @param {Drawn} step
 * @param {number} at
 */
function labelOf(layout, step, at) {
  const badge = badgeOf(step);
  const number = svg('tspan', { class: 'number' }, `${at + 1}`);
  if (!layout.isNarrow) {
    const y = layout.yOf(at) + (badge === '' ? 4 : -3);
    const text = svg('text', { class: 'line', x: 10, y }, number);
    text.append(' ', svg('tspan', { x: 30 }, step.line));
    if (badge !== '') text.append(' ', svg('tspan', { class: 'badge', x: 30, dy: 14 }, badge));
    return text;
  }
  const width = (step.line.length + badge.length + 4) * CHARACTER;
  const start = Math.min(layout.xOf(step.from), layout.xOf(step.to));
  const x = Math.max(2, Math.min(start, layout.width - width - 2));
  const text = svg('text', { class: 'line', x, y: layout.yOf(at) - 12 }, number);
  text.append(` ${step.line}`);
  if (badge !== '') text.append(' ', svg('tspan', { class: 'badge' }, badge));
  return text;
}

/** @param {Drawn} step */
function badgeOf({ token }) {
  if (!token) return '';
  return token.grant ? 'JWT + grant' : 'JWT';
}

/** What a screen reader says of an arrow. @param {Drawn} step @param {number} at */
export function spokenOf(step, at) {
  const badge = badgeOf(step);
  // It begins with what the label shows.
  const label = `${at + 1} ${step.line}${badge && ` ${badge}`}`;
  return `${label}: ${nameOf(step.from)} to ${nameOf(step.to)}`;
}
