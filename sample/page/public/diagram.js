import { layoutOf } from './diagram-layout.js';
import { arrowOf, partiesOf, spokenOf } from './diagram-parts.js';
import { svg } from './dom.js';

/** @import { Step } from '../steps.js' */
/** @import { State } from '../state.service.js' */
/** @import { Drawn } from './diagram-parts.js' */

/** The story as it will go, before anybody plays it. @type {readonly Drawn[]} */
const PLAN = [
  { kind: 'request', from: 'you', to: 'edge', line: 'POST /welcome/' },
  { kind: 'request', from: 'edge', to: 'another', line: 'POST /welcome/' },
  { kind: 'request', from: 'another', to: 'herald', line: 'POST /notification/' },
  { kind: 'request', from: 'herald', to: 'census', line: 'GET /user/42/' },
  { kind: 'answer', from: 'census', to: 'herald', line: 'who user 42 is' },
  { kind: 'request', from: 'herald', to: 'courier', line: 'a mail, in a queue' },
  { kind: 'answer', from: 'herald', to: 'another', line: 'done' },
  { kind: 'answer', from: 'another', to: 'edge', line: 'done' },
  { kind: 'answer', from: 'edge', to: 'you', line: 'done' },
  { kind: 'request', from: 'courier', to: 'census', line: 'GET /user/42/address/' },
  { kind: 'answer', from: 'census', to: 'courier', line: 'the address' },
  { kind: 'mail', from: 'courier', to: 'mail', line: 'an e-mail' },
];

/** A sequence diagram of steps that appear one after the other. The visitor can choose each. */
export class Diagram {
  /** @type {readonly Step[]} */
  steps = [];
  /** How many of them have happened. */
  shown = 0;
  active = -1;
  /** @type {SVGGElement[]} */
  arrows = [];
  /** @type {State['services']} */
  services = [];
  width = 0;

  /**
   * @param {HTMLElement} place
   * @param {(at: number) => void} choose
   */
  constructor(place, choose) {
    this.place = place;
    this.choose = choose;
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

  /** @param {State['services']} services */
  setServices(services) {
    const states = (/** @type {State['services']} */ list) => list.map(({ state }) => state).join();
    const isSame = states(services) === states(this.services);
    this.services = services;
    if (!isSame) this.draw();
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
    if (this.width <= 0) return;
    const hadFocus = this.arrows.includes(/** @type {SVGGElement} */ (document.activeElement));
    const layout = layoutOf(this.width);
    const rows = Math.max(PLAN.length, this.steps.length);
    const height = layout.heightOf(rows);
    const drawing = svg('svg', {
      viewBox: `0 0 ${this.width} ${height}`,
      width: this.width,
      height,
      role: 'group',
      'aria-label': 'Sequence diagram: what the services send to one another',
    });
    drawing.append(...partiesOf(layout, { steps: rows, services: this.services }));
    this.arrows = this.steps.map((step, at) => this.toButton(arrowOf(layout, step, at), step, at));
    drawing.append(...(this.steps.length > 0 ? this.arrows : this.plan(layout)));
    drawing.addEventListener('keydown', (event) => this.walk(event));
    this.place.replaceChildren(drawing);
    this.update();
    if (hadFocus) this.arrows[this.active]?.focus();
  }

  /** @param {import('./diagram-layout.js').Layout} layout */
  plan(layout) {
    return PLAN.map((step, at) => {
      const arrow = arrowOf(layout, step, at);
      arrow.classList.add('planned');
      return arrow;
    });
  }

  /**
   * @param {SVGGElement} arrow
   * @param {Step} step
   * @param {number} at
   */
  toButton(arrow, step, at) {
    arrow.setAttribute('role', 'button');
    arrow.setAttribute('aria-label', spokenOf(step, at));
    arrow.addEventListener('click', () => this.choose(at));
    return arrow;
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
}
