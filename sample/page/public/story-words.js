/** @import { Step } from '../steps.js' */
import { nameOf } from './parties.js';

/** @type {Readonly<Record<string, string>>} */
const WORDS = {
  'you edge':
    'Your browser sends the cookie of your session. There is no token yet: services sign for one another.',
  'edge another':
    'Edge signs this one request with its private key, and says for which user. It adds a grant: its signed word that you are logged in. Another verifies the token, and hands the grant on.',
  'another herald':
    'Another does not pass the token on. It signs anew, with its own key and for Herald. Herald verifies the token with the key that Another publishes, and the grant with the key of Edge.',
  'herald census':
    'Herald signs anew too. Without the grant, Census would refuse: Herald’s signature alone does not prove that you asked.',
  'herald courier':
    'Census has said that you may, so Herald queues a mail, and signs that too. It names user 42, and no address. Your grant waits with it.',
  'courier census':
    'The browser has its answer, and the courier works on. It is another process than the one that had the request, and asks for you all the same: the grant came out of the queue.',
  'census courier':
    'Only the courier may ask for an address under a grant that is up to an hour old. From Herald, Census takes it for five minutes.',
  'courier mail':
    'The courier writes the e-mail, and says that it is done. Until then the mail stays in the queue, whoever is killed.',
  'census herald':
    'The token is good, so Census decides as if you asked in person: an ordinary roles guard looks at request.user.',
  'herald another': 'Herald answers what became of the order.',
  'another edge': 'Another does the same.',
  'edge you': 'Each service verified the call that it received. The mail is on its way meanwhile.',
};

/** What a step means. @param {Step} step */
export function wordsOf(step) {
  const { from, to, status = 0, code, kind } = step;
  if (kind === 'lost') return `${nameOf(to)} is stopped, so ${nameOf(from)} gets no answer.`;
  if (kind === 'waiting') return 'The courier is down. The mail waits until it is up again.';
  if (status < 400) return WORDS[`${from} ${to}`] ?? '';
  if (code !== undefined) {
    return `${nameOf(from)} cannot or will not accept the call, and says why with the code ${code}.`;
  }
  if (from === 'census' && status === 403) {
    return 'The token is good. But Census decides as if this user asked in person, and this user may not read user 42.';
  }
  if (status === 502) return `${nameOf(from)} could not finish the call, so it answers 502.`;
  return `${nameOf(from)} passes the refusal on. It does not say how the rules of Census read.`;
}
