import { element } from './dom.js';

/** @import { World } from '../world.service.js' */

/**
 * The field for what the visitor may choose about an attempt.
 *
 * @param {World['attempts'][number]} attempt
 * @param {World['users']} users
 */
export function fieldOf({ id, input }, users) {
  if (!input) return undefined;
  const control = controlOf(`input-${id}`, input);
  if (input.kind === 'user') {
    control.append(...users.map(({ uri, name }) => element('option', { value: uri }, name)));
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
 * A text is in a box that shows the whole of it.
 *
 * @param {string} id
 * @param {NonNullable<World['attempts'][number]['input']>} input
 */
function controlOf(id, { kind, maxLength, pattern, hint }) {
  if (kind === 'user') return element('select', { id });
  const common = {
    id,
    maxlength: String(maxLength),
    title: hint,
    required: true,
    spellcheck: 'false',
    autocomplete: 'off',
  };
  if (pattern !== undefined) return element('input', { ...common, pattern });
  const box = element('textarea', { ...common, rows: '2' });
  const fit = () => {
    box.style.height = 'auto';
    box.style.height = `${box.scrollHeight + 2}px`;
  };
  box.addEventListener('input', fit);
  new ResizeObserver(fit).observe(box);
  return box;
}
