// One cell of the battery: all users and strangers at once, and what became of each.
import { defer } from 'rxjs';
import { userOf } from './caller.mjs';

/**
 * @typedef {import('./application.js').Answer} Answer
 * @typedef {import('./application.js').Served} Served
 * @typedef {import('./application.js').Desk} Desk
 * @typedef {import('./caller.mjs').Caller} Caller
 * @typedef {import('./caller.mjs').Reply} Reply
 * @typedef {import('./rows.mjs').Row} Row
 * @typedef {import('./rows.mjs').Opened} Opened
 * @typedef {import('./rows.mjs').Verdict} Verdict
 * @typedef {import('./work.mjs').Tools} Tools
 */

/**
 * `strangersServed` counts strangers who got an answer or for whose request a call was signed, `letIn` those whom a
 * guard let in that lets in nobody without a token.
 *
 * @typedef {{ requests: number, right: number, refused: number, wrongSubjects: number, wrongAnswers: number,
 *   strangersServed: number, letIn: number, failed: number, failure: string | undefined, verdict: Verdict }} Counts
 */

/** @param {string} id */
const isStranger = (id) => id.startsWith('stranger');
/** @param {string} id */
const numberOf = (id) => Number(id.split('-')[1]);
/** @param {string} id */
const ownerOf = (id) => (isStranger(id) ? undefined : userOf(numberOf(id)));
/** Every other stranger: the rest comes to a route that lets in requests without a token. @param {string} id */
const isRefusedByGuard = (id) => isStranger(id) && numberOf(id) % 2 === 0;

/** The ids of a cell's requests: strangers come between users. @param {number} users @param {number} strangers */
function inTurn(users, strangers) {
  const usersForEach = users / Math.max(1, strangers);
  const ids = Array.from({ length: users }, (_, at) => ({ id: `user-${at}`, turn: at }));
  const among = Array.from({ length: strangers }, (_, at) => {
    return { id: `stranger-${at}`, turn: (at + 1) * usersForEach - 0.5 };
  });
  return [...ids, ...among].sort((one, other) => one.turn - other.turn).map(({ id }) => id);
}

/** Something that happens once, and that others wait for. */
class Event {
  /** @type {() => void} */
  #happen = () => undefined;
  /** @type {Promise<void>} */
  happened = new Promise((resolve) => (this.#happen = resolve));

  happen() {
    this.#happen();
  }
}

/**
 * The first request begins the work, then all others begin theirs in one turn of the event loop, as requests do that
 * wait for the same thing, in the order given. The first is answered last, so that its user is there all the time.
 */
class Wave {
  begun = new Event();
  #served = new Event();
  #waiting;
  #missing;
  #unserved;

  /** @param {string} first @param {readonly string[]} others */
  constructor(first, others) {
    this.first = first;
    this.#waiting = new Map(others.map((id) => [id, new Event()]));
    this.#missing = others.length;
    this.#unserved = others.length;
  }

  /** @param {string} id @param {() => Promise<Answer>} work */
  async serve(id, work) {
    if (id === this.first) return await this.#serveFirst(work);
    const waiting = this.#waiting.get(id);
    if (--this.#missing === 0) for (const each of this.#waiting.values()) each.happen();
    await waiting?.happened;
    try {
      return await work();
    } finally {
      if (--this.#unserved === 0) this.#served.happen();
    }
  }

  /** @param {() => Promise<Answer>} work */
  async #serveFirst(work) {
    const answer = work();
    this.begun.happen();
    try {
      return await answer;
    } finally {
      await this.#served.happened;
    }
  }
}

/** What the handlers do. @implements {Desk} */
export class Cell {
  /** @type {Opened | undefined} */
  #opened;
  /** @type {Wave | undefined} */
  #wave;
  /** Somebody has subscribed to the feed. */
  #subscribed = new Event();

  /** @param {Served} request */
  async serve(request) {
    const { serve } = this.#use;
    const work = async () => await serve(request);
    return await (this.#wave ? this.#wave.serve(request.id, work) : work());
  }

  /** @param {Served} request */
  feed(request) {
    const { feed } = this.#use;
    if (!feed) throw new Error('no feed');
    const fed = feed(request);
    return defer(() => {
      queueMicrotask(() => this.#subscribed.happen());
      return fed;
    });
  }

  get #use() {
    if (!this.#opened) throw new Error('no row is open');
    return this.#opened;
  }

  /**
   * @param {Row} row
   * @param {Tools} tools
   * @param {Caller} caller
   * @param {Answer[]} records of the called service
   * @param {number} users
   * @param {number} strangers half of them knock where the guard lets in nobody without a token
   * @returns {Promise<Counts>}
   */
  async run(row, tools, caller, records, users, strangers) {
    records.length = 0;
    this.#opened = row.open(tools);
    this.#subscribed = new Event();
    try {
      const replies = await this.#send(row, caller, users, strangers);
      return judge(row, tools, replies, records);
    } finally {
      await this.#opened.close?.();
      this.#opened = undefined;
    }
  }

  /** @param {Row} row @param {Caller} caller @param {number} users @param {number} strangers */
  async #send(row, caller, users, strangers) {
    const [closed, open] = row.isFeed ? ['feed', 'open-feed'] : ['work', 'open'];
    const [first = '', ...others] = inTurn(users, strangers);
    /** @type {Map<string, Reply>} */
    const replies = new Map();
    const send = async (/** @type {string} */ id) => {
      const isOpen = isStranger(id) && !isRefusedByGuard(id);
      const path = `${isOpen ? open : closed}/${id}`;
      replies.set(id, await caller.send(path, ownerOf(id), row.sockets));
    };
    if (row.first === 'alone') await send(first);
    const waits = row.first === undefined && !row.isFeed && row.sockets === undefined;
    const served = others.filter((id) => !isRefusedByGuard(id));
    this.#wave = waits ? new Wave(first, served) : undefined;
    const answered = row.first === 'alone' ? undefined : send(first);
    await this.#wave?.begun.happened;
    // Otherwise a stranger may be the one who opens the feed.
    if (row.isFeed) await this.#subscribed.happened;
    await Promise.all([answered, ...others.map(send)]);
    return replies;
  }
}

/** @param {Row} row @param {Tools} tools @param {Map<string, Reply>} replies @param {Answer[]} records @returns {Counts} */
function judge(row, { way }, replies, records) {
  const isAttributable = !row.sharesAnswers || way.isCured || way.naming === 'words';
  const wrongCalls = new Set(
    records.filter(({ id, sub }) => sub !== ownerOf(id)).map(({ id }) => id),
  );
  const counts = {
    requests: replies.size,
    right: 0,
    refused: 0,
    wrongSubjects: isAttributable ? wrongCalls.size : 0,
    wrongAnswers: 0,
    strangersServed: 0,
    letIn: 0,
    failed: 0,
    /** @type {string | undefined} */
    failure: undefined,
  };
  for (const [id, { status, outcome }] of replies) {
    if (isRefusedByGuard(id)) {
      if (status !== 401) counts.letIn++;
    } else if (outcome === undefined || 'failed' in outcome) {
      counts.failed++;
      counts.failure ??= outcome?.failed ?? `status ${status}`;
    } else if ('refused' in outcome) {
      if (outcome.refused !== 'subject_undecided') counts.failure ??= outcome.refused;
      if (outcome.refused !== 'subject_undecided') counts.failed++;
      if (!isStranger(id)) counts.refused++;
    } else if (isStranger(id)) {
      counts.strangersServed++;
    } else if (outcome.sub === ownerOf(id)) {
      counts.right++;
    } else if (!wrongCalls.has(id) || !isAttributable) {
      counts.wrongAnswers++;
    }
  }
  return { ...counts, verdict: verdictOf(counts) };
}

/** @param {Omit<Counts, 'verdict'>} counts @returns {Verdict} */
function verdictOf({ wrongSubjects, wrongAnswers, refused }) {
  if (wrongSubjects > 0) return 'wrong subject';
  if (wrongAnswers > 0) return 'wrong answer';
  return refused > 0 ? 'refused' : 'right';
}
