/** @import { Visit } from '../session.controller.js' */

const NEWCOMER = 'https://census.service/user/42/';

const logInForm = byId('log-in', HTMLFormElement);
const userChoice = byId('user', HTMLSelectElement);
const visitPanel = byId('visit', HTMLElement);
const answer = byId('answer', HTMLElement);
const trouble = byId('trouble', HTMLElement);

logInForm.addEventListener('submit', (event) => {
  event.preventDefault();
  run(async () => {
    await ask('POST', 'session', { user: userChoice.value });
    await show();
    byId('welcome', HTMLButtonElement).focus();
  });
});
byId('log-out', HTMLButtonElement).addEventListener('click', () =>
  run(async () => {
    await ask('DELETE', 'session');
    await show();
    userChoice.focus();
  }),
);
byId('welcome', HTMLButtonElement).addEventListener('click', () =>
  run(async () => {
    const { status, location, body } = await ask('POST', 'welcome/', { user: NEWCOMER });
    const { message } = /** @type {{ message?: unknown }} */ (Object(body));
    answer.className = status === 201 ? 'good' : 'bad';
    answer.textContent = `${status} ${location ?? String(message)}`;
  }),
);
run(show);

/** Asks Edge who is logged in, and shows it. */
async function show() {
  const { body } = await ask('GET', 'session');
  const { user, users } = /** @type {Visit} */ (body);
  const options = users.map(({ uri, name, may }) => new Option(`${name}, ${may}`, uri));
  if (userChoice.options.length === 0) userChoice.append(...options);
  byId('name', HTMLElement).textContent = users.find(({ uri }) => uri === user)?.name ?? '';
  logInForm.hidden = user !== null;
  visitPanel.hidden = user === null;
  answer.textContent = '';
  document.body.dataset['user'] = user ?? 'nobody';
}

/** @param {() => Promise<void>} action */
function run(action) {
  trouble.hidden = true;
  action().catch((/** @type {unknown} */ error) => {
    trouble.textContent = `That did not work: ${String(error)} Is the sample still running?`;
    trouble.hidden = false;
  });
}

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [content]
 */
async function ask(method, path, content) {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(path, {
    method,
    ...(content && { headers, body: JSON.stringify(content) }),
  });
  const text = await response.text();
  /** @type {unknown} */
  const body = text === '' ? undefined : JSON.parse(text);
  return { status: response.status, location: response.headers.get('location'), body };
}

/**
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function byId(id, type) {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`The page has no ${type.name} called ${id}.`);
}
