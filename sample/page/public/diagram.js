import { svg } from './dom.js';

/** @import { Party, Step } from '../story.service.js' */

/** @type {readonly [Party, string][]} */
const PARTIES = [
  ['you', 'You'],
  ['edge', 'Edge'],
  ['another', 'Another'],
  ['herald', 'Herald'],
  ['census', 'Census'],
  ['mail', 'Mail'],
];
const TOP = 56;
const ROW = 52;
const ROWS = 9;
const HEAD = 7;

/** A sequence diagram of steps that appear one after the other, and can be chosen. */
export class Diagram {
  /** @type {readonly Step[]} */
  steps = [];
  /** How many of them have happened. */
  shown = 0;
  active = -1;
  /** @type {SVGGElement[]} */
  arrows = [];

  /**
   * @param {HTMLElement} place
   * @param {(at: number) => void} choose
   */
  constructor(place, choose) {
    this.place = place;
    this.choose = choose;
    this.width = 0;
    new ResizeObserver(() => this.fit()).observe(place);
    this.fit();
  }

  /** @param {readonly Step[]} steps */
  start(steps) {
    this.steps = steps;
    this.shown = 0;
    this.active = -1;
    this.draw();
  }

  /** @param {number} at the step to point at; it and those before it have happened */
  goTo(at) {
    this.shown = Math.max(this.shown, at + 1);
    this.active = at;
    this.update();
  }

  fit() {
    const { clientWidth } = this.place;
    const style = getComputedStyle(this.place);
    const width = clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (width <= 0 || width === this.width) return;
    this.width = width;
    this.draw();
  }

  draw() {
    const hadFocus = this.arrows.includes(/** @type {SVGGElement} */ (document.activeElement));
    const height = TOP + ROW * Math.max(ROWS, this.steps.length) + 14;
    const drawing = svg('svg', {
      viewBox: `0 0 ${this.width} ${height}`,
      width: this.width,
      height,
      role: 'group',
      'aria-label': 'Sequence diagram: what the services send to one another',
    });
    drawing.append(...PARTIES.flatMap(([party, name]) => this.lifeline(party, name, height)));
    this.arrows = this.steps.map((step, at) => this.arrow(step, at));
    drawing.append(...this.arrows);
    drawing.addEventListener('keydown', (event) => this.walk(event));
    this.place.replaceChildren(drawing);
    this.update();
    if (hadFocus) this.arrows[this.active]?.focus();
  }

  update() {
    for (const [at, arrow] of this.arrows.entries()) {
      arrow.classList.toggle('shown', at < this.shown);
      arrow.classList.toggle('active', at === this.active);
      arrow.setAttribute('tabindex', at === Math.max(this.active, 0) && this.shown ? '0' : '-1');
      arrow.setAttribute('aria-pressed', String(at === this.active));
      arrow.setAttribute('aria-hidden', String(at >= this.shown));
    }
  }

  /** Up and down go from arrow to arrow. @param {KeyboardEvent} event */
  walk(event) {
    const last = this.shown - 1;
    const to = { ArrowUp: this.active - 1, ArrowDown: this.active + 1, Home: 0, End: last }[
      event.key
    ];
    const isPress = event.key === 'Enter' || event.key === ' ';
    if (to === undefined && !isPress) return;
    event.preventDefault();
    const at = Math.min(Math.max(to ?? this.active, 0), last);
    this.choose(at);
    this.arrows[at]?.focus();
  }

  /**
   * @param {Party} party
   * @param {string} name
   * @param {number} height
   */
  lifeline(party, name, height) {
    const x = this.xOf(party);
    const half = Math.min(44, this.width / (2 * PARTIES.length) - 2);
    const box = { x: x - half, y: 1, width: half * 2, height: 30, rx: 7, class: 'party-box' };
    const text = { x, y: 21, 'text-anchor': 'middle', class: 'party-name' };
    return [
      svg('line', { x1: x, x2: x, y1: 31, y2: height, class: 'lifeline' }),
      svg('rect', box),
      svg('text', text, name),
    ];
  }

  /**
   * @param {Step} step
   * @param {number} at
   */
  arrow(step, at) {
    const y = TOP + ROW * at + 30;
    const [from, to] = [this.xOf(step.from), this.xOf(step.to)];
    const back = from > to ? HEAD : -HEAD;
    const isRefusal = (step.status ?? 0) >= 400;
    const kind = `arrow ${step.kind}${isRefusal ? ' refusal' : ''}`;
    const label = `Step ${at + 1}: ${nameOf(step.from)} to ${nameOf(step.to)}, ${step.line}${step.token ? ` ${badgeOf(step)}` : ''}`;
    const made = svg(
      'g',
      { class: kind, role: 'button', 'aria-label': label },
      svg('rect', { class: 'hit', x: 0, y: y - 34, width: this.width, height: ROW - 4, rx: 8 }),
      svg('line', { class: 'shaft', x1: from, x2: to + back, y1: y, y2: y }),
      svg('path', { class: 'head', d: `M${to} ${y}l${back} -5v10z` }),
      ...this.labels(step, y),
    );
    made.addEventListener('click', () => this.choose(at));
    return made;
  }

  /**
   * @param {Step} step
   * @param {number} y
   */
  labels(step, y) {
    const middle = (this.xOf(step.from) + this.xOf(step.to)) / 2;
    const hasToken = step.token !== undefined;
    // About how wide the text is, so that it stays within the drawing.
    const half = (step.line.length * 7 + (hasToken ? (badgeOf(step).length + 1) * 8 : 0)) / 2;
    const x = Math.min(Math.max(middle, half + 2), this.width - half - 2);
    const line = svg('text', { class: 'line', x, y: y - 9, 'text-anchor': 'middle' }, step.line);
    if (hasToken) line.append(' ', svg('tspan', { class: 'badge' }, badgeOf(step)));
    return [line];
  }

  /** @param {Party} party */
  xOf(party) {
    const slot = this.width / PARTIES.length;
    return slot * (PARTIES.findIndex(([name]) => name === party) + 0.5);
  }
}

/** @param {Step} step */
function badgeOf({ token }) {
  return token?.grant ? 'JWT + grant' : 'JWT';
}

/** @param {Party} party */
export function nameOf(party) {
  return PARTIES.find(([name]) => name === party)?.[1] ?? party;
}
