import { messageOf, playStory } from './api.js';
import { Diagram } from './diagram.js';
import { byId, element } from './dom.js';
import { nameOf } from './parties.js';
import { wordsOf } from './story-words.js';
import { tokenView } from './token-view.js';

/** @import { Step } from '../steps.js' */
/** @import { World } from '../world.service.js' */

const PACE_MILLISECONDS = 1100;

/**
 * Lets the visitor play the story and walk through it.
 *
 * @param {World} world
 * @param {(message: string) => void} report
 */
export function setUpStory(world, report) {
  const as = byId('as', HTMLSelectElement);
  as.append(...world.visitors.map(({ uri, name }) => element('option', { value: uri }, name)));
  const play = byId('play', HTMLButtonElement);
  const back = byId('back', HTMLButtonElement);
  const next = byId('next', HTMLButtonElement);
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;

  const diagram = new Diagram(byId('diagram', HTMLElement), (at) => {
    clearInterval(timer);
    goTo(at);
  });
  diagram.setServices(world.state.services);

  /** @param {number} at */
  function goTo(at) {
    const { steps } = diagram;
    const step = steps[at];
    if (!step) return;
    diagram.goTo(at);
    back.disabled = at === 0;
    next.disabled = at === steps.length - 1;
    const place = `Step ${at + 1} of ${steps.length}`;
    byId('progress', HTMLElement).textContent = place;
    byId('step-words', HTMLElement).replaceChildren(...stepWords(step));
    showToken(steps.slice(0, at + 1).findLast(({ token }) => token));
    byId('story-status', HTMLElement).textContent =
      `${place}: ${nameOf(step.from)} to ${nameOf(step.to)}, ${step.line}`;
  }

  /** @param {number} by */
  function walk(by) {
    clearInterval(timer);
    goTo(diagram.active + by);
  }
  back.addEventListener('click', () => walk(-1));
  next.addEventListener('click', () => walk(1));

  async function start() {
    clearInterval(timer);
    play.setAttribute('aria-busy', 'true');
    try {
      const { steps } = await playStory(as.value);
      diagram.start(steps);
      bringIntoView(byId('diagram', HTMLElement));
      goTo(0);
      timer = setInterval(() => {
        goTo(diagram.active + 1);
        if (diagram.active === steps.length - 1) clearInterval(timer);
      }, PACE_MILLISECONDS);
    } catch (error) {
      report(messageOf(error));
    } finally {
      play.removeAttribute('aria-busy');
    }
  }
  byId('story-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    void start();
  });
  return diagram;
}

/** Scrolls only when a part of it is out of view: on a phone. @param {HTMLElement} place */
function bringIntoView(place) {
  const { top, bottom } = place.getBoundingClientRect();
  if (top < 0 || bottom > window.innerHeight - 220) place.scrollIntoView({ block: 'start' });
}

/** The last token that was sent: it stays when its answer comes. @param {Step | undefined} step */
function showToken(step) {
  const place = byId('step-token', HTMLElement);
  place.hidden = !step?.token;
  if (!step?.token) return;
  const { from, to, token } = step;
  const key = `${from} ${to} ${String(token.claims?.['jti'])}`;
  if (place.dataset['token'] === key) return;
  place.dataset['token'] = key;
  place.replaceChildren(
    element('h2', { class: 'token-title' }, `The token of ${nameOf(from)} for ${nameOf(to)}`),
    tokenView({
      token: { ...token, text: token.texts.token ?? '' },
      grant: token.grant && { claims: token.grant, text: token.texts.grant ?? '' },
    }),
  );
}

/** @param {Step} step */
function stepWords(step) {
  const { from, to, line, status, kind, message, body, atMilliseconds } = step;
  const isBad = kind === 'lost' || (status !== undefined && status >= 400);
  const time = atMilliseconds === undefined ? '' : `after ${atMilliseconds.toFixed(1)} ms`;
  /** @type {HTMLElement[]} */
  const parts = [
    element(
      'p',
      { class: 'route' },
      `${nameOf(from)} → ${nameOf(to)}`,
      element('span', { class: 'time' }, time),
    ),
    element('p', { class: isBad ? 'step-line bad' : 'step-line' }, element('code', {}, line)),
    element('p', {}, wordsOf(step)),
  ];
  if (message) parts.push(element('pre', { tabindex: '0' }, message));
  if (body !== undefined) {
    parts.push(element('pre', { tabindex: '0' }, JSON.stringify(body)));
  }
  return parts;
}
