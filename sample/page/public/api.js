/** @import { World } from '../world.service.js' */
/** @import { StoryResult } from '../story.service.js' */
/** @import { AttemptResult } from '../attempt.service.js' */

/** @returns {Promise<World>} */
export async function fetchWorld() {
  return /** @type {World} */ (await ask('api/world'));
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
