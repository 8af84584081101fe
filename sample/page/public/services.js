import { byId, element } from './dom.js';
import { nameOf, stateWords } from './parties.js';

/** @import { State } from '../state.service.js' */

/** One line each: who, how it is, where it listens, which keys it publishes. @param {State} state */
export function showServices({ services, censusKnows }) {
  const items = services.map((service) => {
    const { name, url, state } = service;
    return element(
      'li',
      { 'data-service': name, 'data-state': state },
      element('span', { class: state === 'up' ? 'dot up' : 'dot' }),
      element('b', {}, nameOf(name)),
      element('span', { class: 'state' }, stateWords(state)),
      element('code', {}, url.replace(/^http:\/\/|\/$/g, '')),
      element('span', { class: 'keys' }, keyWords(service, censusKnows)),
    );
  });
  byId('service-list', HTMLElement).replaceChildren(...items);
}

/**
 * @param {State['services'][number]} service
 * @param {readonly string[] | null} censusKnows
 */
function keyWords({ name, state, keyIds }, censusKnows) {
  if (state !== 'up') return '';
  if (name === 'census') {
    const known = censusKnows?.map(short).join(', ') ?? '';
    return known === '' ? 'knows no key of Herald' : `knows Herald’s key ${known}`;
  }
  return keyIds ? `publishes key ${keyIds.map(short).join(', ')}` : 'its keys cannot be fetched';
}

/** Enough of a key id to tell two apart. @param {string} keyId */
function short(keyId) {
  return keyId.slice(0, 8);
}
