/** @import { World } from '../world.service.js' */
/** @import { State } from '../state.service.js' */
/** @import { StoryResult } from '../story.service.js' */
/** @import { AttemptResult } from '../attempt.service.js' */
/** @import { CurlCommand } from '../curl.js' */
/** @import { SwitchResult } from '../switches/outcome.js' */
/** @import { Turn } from '../switches/switch-board.js' */

/** @returns {Promise<World>} */
export async function fetchWorld() {
  return /** @type {World} */ (await ask('api/world'));
}

/** @returns {Promise<State>} */
export async function fetchState() {
  return /** @type {State} */ (await ask('api/state'));
}

/**
 * @param {string} as
 * @returns {Promise<StoryResult>}
 */
export async function playStory(as) {
  return /** @type {StoryResult} */ (await ask('api/story', { as }));
}

/**
 * @param {string} id
 * @param {string | undefined} input
 * @returns {Promise<AttemptResult>}
 */
export async function makeAttempt(id, input) {
  return /** @type {AttemptResult} */ (await ask('api/attempts', { id, input }));
}

/**
 * @param {string} id
 * @param {string | undefined} input
 * @returns {Promise<CurlCommand>}
 */
export async function fetchCurl(id, input) {
  return /** @type {CurlCommand} */ (await ask('api/curl', { id, input }));
}

/**
 * @param {Turn} turn
 * @returns {Promise<SwitchResult>}
 */
export async function turnSwitch(turn) {
  return /** @type {SwitchResult} */ (await ask('api/switches', turn));
}

/** What to show when something failed. @param {unknown} error */
export function messageOf(error) {
  // Browsers throw a TypeError when nobody answers.
  if (error instanceof TypeError) return 'The sample does not answer. Start it again: npm start.';
  return error instanceof Error ? error.message : String(error);
}

/**
 * @param {string} path
 * @param {object} [content] to post
 * @returns {Promise<unknown>}
 */
async function ask(path, content) {
  const response = await fetch(path, content && toPost(content));
  /** @type {unknown} */
  const body = await response.json();
  if (response.ok) return body;
  const { message } = /** @type {{ message?: unknown }} */ (Object(body));
  throw new Error(typeof message === 'string' ? message : `The page answered ${response.status}.`);
}

/** @param {object} content */
function toPost(content) {
  const headers = { 'content-type': 'application/json' };
  return { method: 'POST', headers, body: JSON.stringify(content) };
}
