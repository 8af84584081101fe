import { element } from './dom.js';

const SHOWN = 'current';

/**
 * Shows a result under its card: on a phone directly, on a wide screen below the row of the card.
 *
 * @param {HTMLElement} item the list item of the card
 * @param {{ title: string, outcome: string, content: readonly (Node | string)[] }} result
 */
export function showResultUnder(item, { title, outcome, content }) {
  const list = item.parentElement;
  for (const other of list?.querySelectorAll(':scope > .result') ?? []) other.remove();
  for (const other of list?.querySelectorAll(`.${SHOWN}`) ?? []) other.classList.remove(SHOWN);
  item.classList.add(SHOWN);
  const region = element(
    'div',
    { class: 'panel', role: 'region', 'aria-label': `Result: ${title}`, tabindex: '-1' },
    ...content,
  );
  const place = element('li', { class: 'result', 'data-outcome': outcome }, region);
  item.after(place);
  const { top } = place.getBoundingClientRect();
  if (top > window.innerHeight - 160) item.scrollIntoView({ block: 'start' });
}
