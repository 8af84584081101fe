import { playStory } from './api.js';
import { Diagram, nameOf } from './diagram.js';
import { byId, element } from './dom.js';
import { grantTable, tokenTables } from './token-view.js';

/** @import { Step } from '../story.service.js' */
/** @import { World } from '../world.service.js' */

const PACE_MILLISECONDS = 1100;

/** @type {Readonly<Record<string, string>>} */
const TELLING = {
  'you edge':
    'You have logged in at Edge, and your browser sends the cookie of your session. There is no token yet: services sign for one another.',
  'edge another':
    'Edge signs this one request with its own private key, and says for which user. It adds a grant: its word that you are there, for whoever has to know. Another checks the token, and only hands the grant on.',
  'another herald':
    'Another does not pass the token on. It signs anew, with its own key and for Herald. The grant stays as it is. Herald checks both: the token with the key that Another publishes, the grant with that of Edge.',
  'herald census':
    'And so does Herald. Had nobody logged in, Herald could still sign for you: without the grant, Census would refuse that.',
  'herald mail': 'Census has said who user 42 is, so the e-mail goes out.',
  'census herald':
    'The token was good, so Census acted as if the user had come in person: an ordinary roles guard decided by request.user.',
  'herald another': 'Herald passes on what became of it.',
  'another edge': 'And so does Another.',
  'edge you': 'Every hop was checked by the service that received it.',
};

/**
 * Lets the visitor play the story and walk through it.
 *
 * @param {World} world
 * @param {(error: unknown) => void} report
 */
export function setUpStory(world, report) {
  const as = byId('as', HTMLSelectElement);
  as.append(
    ...world.visitors.map(({ uri, name, may }) =>
      element('option', { value: uri }, `${name}, ${may}`),
    ),
  );
  const play = byId('play', HTMLButtonElement);
  const back = byId('back', HTMLButtonElement);
  const next = byId('next', HTMLButtonElement);
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;

  const diagram = new Diagram(byId('diagram', HTMLElement), (at) => {
    clearInterval(timer);
    goTo(at);
  });

  /** @param {number} at */
  function goTo(at) {
    const step = diagram.steps[at];
    if (!step) return;
    diagram.goTo(at);
    back.disabled = at === 0;
    next.disabled = at === diagram.steps.length - 1;
    const place = `Step ${at + 1} of ${diagram.steps.length}`;
    byId('progress', HTMLElement).textContent = place;
    byId('step-detail', HTMLElement).replaceChildren(...detailOf(step));
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
      goTo(0);
      timer = setInterval(() => {
        goTo(diagram.active + 1);
        if (diagram.active === steps.length - 1) clearInterval(timer);
      }, PACE_MILLISECONDS);
    } catch (error) {
      report(error);
    } finally {
      play.removeAttribute('aria-busy');
    }
  }
  byId('story-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    void start();
  });
}

/** @param {Step} step */
function detailOf(step) {
  const { from, to, line, token, status, message, body, atMilliseconds } = step;
  const isRefusal = status !== undefined && status >= 400;
  const time = atMilliseconds === undefined ? '' : `+${atMilliseconds.toFixed(1)} ms`;
  /** @type {HTMLElement[]} */
  const parts = [
    element(
      'p',
      { class: 'route' },
      `${nameOf(from)} → ${nameOf(to)}`,
      element('span', { class: 'time' }, time),
    ),
    element('h3', { class: isRefusal ? 'bad' : undefined }, element('code', {}, line)),
    element('p', {}, isRefusal ? refusalOf(step) : (TELLING[`${from} ${to}`] ?? '')),
  ];
  if (token) parts.push(tokenTables(token));
  if (token?.grant) parts.push(grantTable(token.grant));
  if (message) parts.push(element('pre', {}, message));
  if (body !== undefined) {
    const json = JSON.stringify(body, null, 2);
    parts.push(element('pre', {}, json));
  }
  return parts;
}

/** @param {Step} step */
function refusalOf({ from, status }) {
  if (from === 'census' && status === 403) {
    return 'The token was good. But Census acts as this user, and this user may not read user 42: the same rules as if the user had come in person.';
  }
  return 'The refusal is passed on, without a word about why the rules are as they are.';
}
