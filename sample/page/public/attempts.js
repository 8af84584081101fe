import { makeAttempt, messageOf } from './api.js';
import { curlButton } from './curl.js';
import { byId, element } from './dom.js';
import { fieldOf } from './field.js';
import { showResultUnder } from './result-place.js';
import { resultView } from './result-view.js';

/** @import { World } from '../world.service.js' */

/** @typedef {World['attempts'][number]} ShownAttempt */

const NUMBERS = ['No', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight', 'Nine'];
const MORE_NUMBERS = ['Ten', 'Eleven', 'Twelve', 'Thirteen', 'Fourteen', 'Fifteen'];

/**
 * Lets the visitor send requests that are each wrong in one thing.
 *
 * @param {World} world
 * @param {(message: string) => void} report
 */
export function setUpAttempts(world, report) {
  const of = (/** @type {string} */ place) => world.attempts.filter((one) => one.place === place);
  const cards = (/** @type {readonly ShownAttempt[]} */ attempts) =>
    attempts.map((attempt) => card(attempt, world, report));
  byId('first-attempts', HTMLElement).append(...cards(of('first')));
  byId('grant-attempts', HTMLElement).append(...cards(of('grants')));
  const more = of('more');
  const count = [...NUMBERS, ...MORE_NUMBERS][more.length] ?? String(more.length);
  byId('more-title', HTMLElement).textContent = `${count} more attempts`;
  for (const [group, attempts] of groupsOf(more)) {
    byId('more-attempts', HTMLElement).append(
      element('h3', { class: 'group' }, group),
      element('ul', { class: 'cards' }, ...cards(attempts)),
    );
  }
}

/** @param {readonly ShownAttempt[]} attempts */
function groupsOf(attempts) {
  /** @type {Map<string, ShownAttempt[]>} */
  const groups = new Map();
  for (const attempt of attempts) {
    groups.set(attempt.group, [...(groups.get(attempt.group) ?? []), attempt]);
  }
  return groups;
}

/**
 * @param {ShownAttempt} attempt
 * @param {World} world
 * @param {(message: string) => void} report
 */
function card(attempt, world, report) {
  const { id, title, does, place } = attempt;
  const field = fieldOf(attempt, world.users);
  const outcome = element('span', { class: 'outcome' });
  const send = element(
    'button',
    { type: 'submit', class: place === 'more' ? undefined : 'primary' },
    'Send',
    element('span', { class: 'visually-hidden' }, `: ${title}`),
  );
  const curl = curlButton(attempt, () => field?.control.value, report);
  const form = element(
    'form',
    { class: 'card panel', 'data-attempt': id },
    element('h3', {}, title),
    element('p', {}, does),
    ...(field ? [field.label] : []),
    element('div', { class: 'buttons' }, send, curl.button, outcome),
    curl.box,
  );
  const item = element('li', {}, form);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void run({ attempt, input: field?.control.value }, { item, send, outcome }, world, report);
  });
  return item;
}

/**
 * @param {{ attempt: ShownAttempt, input: string | undefined }} wanted
 * @param {{ item: HTMLElement, send: HTMLButtonElement, outcome: HTMLElement }} parts
 * @param {World} world
 * @param {(message: string) => void} report
 */
async function run({ attempt, input }, { item, send, outcome }, world, report) {
  send.setAttribute('aria-busy', 'true');
  try {
    const { exchanges } = await makeAttempt(attempt.id, input);
    const last = exchanges[exchanges.length - 1];
    if (!last) return;
    const { status, code } = last.answer ?? {};
    const text = status === undefined ? 'no answer' : code ? `${status} ${code}` : String(status);
    const isGood = status !== undefined && status < 400;
    outcome.textContent = text;
    outcome.className = `outcome ${isGood ? 'good' : 'bad'}`;
    showResultUnder(item, {
      title: attempt.title,
      outcome: text,
      content: resultView(attempt, exchanges, world.checks),
    });
    byId('call-status', HTMLElement).textContent = `${attempt.title}: ${text}. ${last.reason}`;
  } catch (error) {
    report(messageOf(error));
  } finally {
    send.removeAttribute('aria-busy');
  }
}
