import { makeAttempt } from './api.js';
import { byId, element } from './dom.js';
import { resultView } from './result-view.js';

/** @import { World } from '../world.service.js' */

/** @typedef {World['attempts'][number]} ShownAttempt */

/**
 * Lets the visitor send requests that are each wrong in one thing.
 *
 * @param {World} world
 * @param {(error: unknown) => void} report
 */
export function setUpTampering(world, report) {
  const groups = groupsOf(world.attempts);
  const place = byId('attempts', HTMLElement);
  for (const [group, attempts] of groups) {
    const cards = attempts.map((attempt) => card(attempt, world, report));
    place.append(element('h3', { class: 'group' }, group), element('ul', {}, ...cards));
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
 * @param {(error: unknown) => void} report
 */
function card(attempt, world, report) {
  const { id, title, does } = attempt;
  const send = element(
    'button',
    { type: 'submit' },
    'Send',
    element('span', { class: 'visually-hidden' }, `: ${title}`),
  );
  const field = fieldOf(attempt, world);
  const outcome = element('span', { class: 'outcome' });
  const form = element(
    'form',
    { class: 'card', 'data-attempt': id },
    element(
      'div',
      { class: 'card-text' },
      element('h4', {}, title, outcome),
      element('p', {}, does),
    ),
    send,
    ...(field ? [field.label] : []),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void run(attempt, field?.control.value, { form, send, outcome }, world, report);
  });
  return element('li', {}, form);
}

/**
 * @param {ShownAttempt} attempt
 * @param {World} world
 */
function fieldOf({ id, input }, world) {
  if (!input) return undefined;
  const control =
    input.kind === 'user'
      ? element('select', { id: `input-${id}` })
      : element('input', {
          id: `input-${id}`,
          maxlength: String(input.maxLength),
          pattern: input.pattern,
          title: input.hint,
          required: true,
          spellcheck: 'false',
          autocomplete: 'off',
        });
  if (input.kind === 'user') {
    control.append(...world.users.map(({ uri, name }) => element('option', { value: uri }, name)));
  }
  control.value = input.byDefault;
  const label = element(
    'label',
    { class: 'field', for: control.id },
    element('span', {}, input.label),
    control,
  );
  return { control, label };
}

/**
 * @param {ShownAttempt} attempt
 * @param {string | undefined} input
 * @param {{ form: HTMLFormElement, send: HTMLButtonElement, outcome: HTMLElement }} parts
 * @param {World} world
 * @param {(error: unknown) => void} report
 */
async function run(attempt, input, { form, send, outcome }, world, report) {
  const status = byId('attempt-status', HTMLElement);
  const panel = byId('result', HTMLElement);
  send.setAttribute('aria-busy', 'true');
  try {
    const { exchanges } = await makeAttempt(attempt.id, input);
    const last = exchanges[exchanges.length - 1];
    if (!last) return;
    const { status: code, code: name } = last.answer;
    const text = name === undefined ? String(code) : `${code} ${name}`;
    outcome.textContent = text;
    outcome.className = `outcome ${code < 400 ? 'good' : 'bad'}`;
    for (const other of document.querySelectorAll('.card.current'))
      other.classList.remove('current');
    form.classList.add('current');
    panel.replaceChildren(...resultView(attempt, exchanges, world.checks));
    panel.scrollTop = 0;
    panel.dataset['outcome'] = text;
    status.textContent = `${attempt.title}: ${text}. ${last.reason}`;
    if (panel.getBoundingClientRect().top > window.innerHeight / 2) panel.scrollIntoView();
  } catch (error) {
    report(error);
  } finally {
    send.removeAttribute('aria-busy');
  }
}
