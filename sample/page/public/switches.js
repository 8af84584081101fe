import { messageOf, turnSwitch } from './api.js';
import { byId, element } from './dom.js';
import { showResultUnder } from './result-place.js';
import { switchResultView } from './switch-result-view.js';

/** @import { World } from '../world.service.js' */
/** @import { State } from '../state.service.js' */

/** @typedef {World['switches'][number]} ShownSwitch */

const WAITS_FOR_MAIL = 'Waits until the courier is up again, and the mail has arrived.';

/** What the visitor reads while an action takes its time. @type {Readonly<Record<string, string>>} */
const WAITING = {
  'rotation/switch': 'Waits until Census has fetched the next key: up to a minute.',
  'rotation/withdraw': 'Waits until Census has fetched the keys again: up to a minute.',
  'mail/begun': WAITS_FOR_MAIL,
  'mail/taken': WAITS_FOR_MAIL,
  'key-server/on': 'Waits until Census has fetched the keys: up to half a minute.',
};

/**
 * Lets the visitor change the running services, and shows what happens to the next call.
 *
 * @param {World} world
 * @param {() => Promise<void>} refresh shows the services as they are now
 */
export function setUpSwitches({ switches }, refresh) {
  byId('switch-list', HTMLElement).append(...switches.map((shown) => card(shown, refresh)));
}

/**
 * @param {ShownSwitch} shown
 * @param {() => Promise<void>} refresh
 */
function card(shown, refresh) {
  const { id, title, does, actions, choice } = shown;
  const select = choice && element('select', { id: `choice-${id}` });
  select?.append(
    ...(choice?.options ?? []).map(({ value, name }) => element('option', { value }, name)),
  );
  const working = element('p', { class: 'working', role: 'status' });
  const buttons = actions.map(({ id: action, label }) => {
    const hidden = element('span', { class: 'visually-hidden' }, `: ${title}`);
    const button = element('button', { type: 'button', 'data-action': action }, label, hidden);
    button.addEventListener('click', () => {
      void run({ shown, action, choice: select?.value ?? '' }, { item, working }, refresh);
    });
    return button;
  });
  const item = element(
    'li',
    {},
    element(
      'div',
      { class: 'card panel', 'data-switch': id },
      element('h3', {}, title, element('span', { class: 'position' })),
      element('p', {}, does),
      ...(choice && select
        ? [
            element(
              'label',
              { class: 'field', for: select.id },
              element('span', {}, choice.label),
              select,
            ),
          ]
        : []),
      element('div', { class: 'buttons' }, ...buttons),
      working,
    ),
  );
  return item;
}

/**
 * @param {{ shown: ShownSwitch, action: string, choice: string }} wanted
 * @param {{ item: HTMLElement, working: HTMLElement }} parts
 * @param {() => Promise<void>} refresh
 */
async function run({ shown, action, choice }, { item, working }, refresh) {
  const { id, title } = shown;
  setBusy(item, true);
  working.textContent = WAITING[`${id}/${action}`] ?? 'At work …';
  let trouble = '';
  try {
    const result = await turnSwitch({ id, action, choice });
    const verdicts = result.outcomes.map(({ verdict }) => verdict);
    showResultUnder(item, {
      title,
      outcome: verdicts.join(', ') || 'done',
      content: switchResultView(result),
    });
    byId('call-status', HTMLElement).textContent = `${result.told} ${verdicts.join(', ')}`;
  } catch (error) {
    trouble = messageOf(error);
  }
  setBusy(item, false);
  await refresh();
  working.textContent = trouble;
}

/**
 * @param {HTMLElement} item
 * @param {boolean} isBusy
 */
function setBusy(item, isBusy) {
  for (const button of item.querySelectorAll('.buttons button')) {
    button.setAttribute('aria-busy', String(isBusy));
    button.toggleAttribute('disabled', isBusy);
  }
}

/** Shows how the switches are set, and offers only what can be done now. @param {State} state */
export function showPositions({ switches: { keyServer, rotation, replica, mail } }) {
  offer('key-server', keyServer === 'on' ? 'keys served' : 'keys out of reach', {
    off: keyServer === 'on',
    'restart-census': true,
    on: keyServer === 'off',
  });
  offer(
    'rotation',
    { one: 'one key', published: 'step 1 done', signing: 'step 2 done' }[rotation],
    {
      publish: rotation === 'one',
      switch: rotation === 'published',
      withdraw: rotation === 'signing',
    },
  );
  offer('mail', { redis: 'mails wait in BullMQ', memory: 'mails wait in Herald' }[mail], {});
  const memory = replica?.isShared ? 'two, one memory' : 'two, two memories';
  offer('replica', replica ? memory : 'one process', {
    shared: true,
    apart: true,
    stop: replica !== null,
  });
}

/**
 * @param {string} id
 * @param {string} position
 * @param {Readonly<Record<string, boolean>>} actions
 */
function offer(id, position, actions) {
  const shown = document.querySelector(`[data-switch=${id}]`);
  const place = shown?.querySelector('.position');
  if (place) place.textContent = position;
  for (const button of shown?.querySelectorAll('button') ?? []) {
    const isBusy = button.getAttribute('aria-busy') === 'true';
    button.disabled = isBusy || actions[button.dataset['action'] ?? ''] === false;
  }
}
