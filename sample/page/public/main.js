import { fetchWorld } from './api.js';
import { byId, element } from './dom.js';
import { setUpStory } from './story.js';
import { setUpTampering } from './tamper.js';

/** @import { ShownService } from '../world.service.js' */

/** @param {unknown} error */
function report(error) {
  const trouble = byId('trouble', HTMLElement);
  const text = error instanceof Error ? error.message : String(error);
  trouble.textContent = `That did not work: ${text} Is the sample still running?`;
  trouble.hidden = false;
  trouble.scrollIntoView({ block: 'nearest' });
}

/** @param {ShownService} service */
function serviceCard({ name, uri, url, does, isUp, keyIds }) {
  const state = isUp ? 'answers' : 'does not answer';
  return element(
    'li',
    { class: 'panel' },
    element(
      'h3',
      {},
      name,
      element('span', { class: isUp ? 'dot up' : 'dot' }),
      element('span', { class: 'dot-text' }, state),
    ),
    element('p', {}, does),
    element(
      'dl',
      {},
      ...pair('Called', uri),
      element('dt', {}, 'Listens at'),
      element(
        'dd',
        {},
        name === 'edge' ? element('a', { href: url }, url) : element('code', {}, url),
      ),
      ...pair(
        'Publishes',
        keyIds.length > 0 ? `key ${keyIds.join(', ')}` : 'no key: it calls nobody',
      ),
    ),
  );
}

/**
 * @param {string} term
 * @param {string} value
 */
function pair(term, value) {
  return [element('dt', {}, term), element('dd', {}, element('code', {}, value))];
}

try {
  const world = await fetchWorld();
  byId('service-list', HTMLElement).replaceChildren(...world.services.map(serviceCard));
  setUpStory(world, report);
  setUpTampering(world, report);
  document.body.dataset['ready'] = 'yes';
} catch (error) {
  report(error);
}
