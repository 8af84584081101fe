import { fetchCurl, messageOf } from './api.js';
import { byId, element } from './dom.js';

/** @import { ShownAttempt } from './attempts.js' */

/**
 * A button that makes a command for the terminal, and a box that shows it.
 *
 * @param {ShownAttempt} attempt
 * @param {() => string | undefined} input
 * @param {(message: string) => void} report
 */
export function curlButton(attempt, input, report) {
  const box = element('div', { class: 'curl', hidden: true });
  const button = element(
    'button',
    { type: 'button', class: 'quiet' },
    'Copy as curl',
    element('span', { class: 'visually-hidden' }, `: ${attempt.title}`),
  );
  const make = async () => {
    try {
      const { command, expiresAtSeconds } = await fetchCurl(attempt.id, input());
      const isCopied = await copy(command);
      const words = `${isCopied ? 'Copied. ' : ''}${wordsOf(expiresAtSeconds)}`;
      box.replaceChildren(
        element('p', {}, words),
        element('pre', { tabindex: '0', 'aria-label': 'Command' }, command),
      );
      box.hidden = false;
      byId('call-status', HTMLElement).textContent = words;
    } catch (error) {
      report(messageOf(error));
    }
  };
  button.addEventListener('click', () => void make());
  return { button, box };
}

/** @param {number | null} expiresAtSeconds */
function wordsOf(expiresAtSeconds) {
  if (expiresAtSeconds === null) return 'Run it as often as you like: it has no token.';
  const time = new Date(expiresAtSeconds * 1000).toLocaleTimeString('en-GB');
  if (expiresAtSeconds * 1000 < Date.now()) return `Its token expired at ${time}.`;
  return `Its token is new, and not sent yet. It counts once, until ${time}: a second run is a replay.`;
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // The browser does not allow it: the command is in the box.
  }
}
