import { fetchState, fetchWorld, messageOf } from './api.js';
import { setUpAttempts } from './attempts.js';
import { byId, element } from './dom.js';
import { showServices } from './services.js';
import { setUpStory } from './story.js';
import { setUpSwitches, showPositions } from './switches.js';

/** @import { State } from '../state.service.js' */
/** @import { World } from '../world.service.js' */

const LOOK_EVERY_MILLISECONDS = 2000;

/** @param {string} message */
function report(message) {
  const trouble = byId('trouble', HTMLElement);
  trouble.textContent = message;
  trouble.hidden = false;
}

/** @param {World} world */
function setUp(world) {
  const diagram = setUpStory(world, report);
  /** @param {State} state */
  const show = (state) => {
    diagram.setServices(state.services);
    showServices(state);
    showPositions(state);
  };
  let isOutOfReach = false;
  const refresh = async () => {
    try {
      show(await fetchState());
      if (isOutOfReach) byId('trouble', HTMLElement).hidden = true;
      isOutOfReach = false;
    } catch (error) {
      isOutOfReach = true;
      report(messageOf(error));
    }
  };
  setUpAttempts(world, report);
  setUpSwitches(world, refresh);
  show(world.state);
  byId('edge-link', HTMLAnchorElement).href = world.edgeUrl;
  byId('links', HTMLElement).append(
    ...world.links.map(({ title, href }) => element('a', { href }, title)),
  );
  lookAgain(refresh);
}

/** A service may stop by itself. @param {() => Promise<void>} refresh */
function lookAgain(refresh) {
  const look = async () => {
    if (!document.hidden) await refresh();
    lookAgain(refresh);
  };
  setTimeout(() => void look(), LOOK_EVERY_MILLISECONDS);
}

try {
  setUp(await fetchWorld());
  document.body.dataset['ready'] = 'yes';
} catch (error) {
  report(messageOf(error));
}
