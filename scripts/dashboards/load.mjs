// The load: requests to Herald, which calls Census and Archive, and callers whose requests Census refuses.
import { request } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { CENSUS, MAILER, newKey, SCRIBE } from './services.mjs';

/**
 * @typedef {Awaited<ReturnType<typeof import('./services.mjs').startServices>>} Services
 * @typedef {{ method: string, path: string, token?: string, body?: Buffer, slow?: boolean }} Sent
 * @typedef {() => Promise<string>} Send answers with the status, and the code of a refusal
 * @typedef {[name: string, expected: string, send: Send]} Kind
 */

/** The kind of request that is accepted once the keys are there. */
export const WITHOUT_KEYS = 'a caller whose keys cannot be fetched';
const TICK_MILLISECONDS = 150;
/** A body that arrives in two parts, so far apart. */
const SLOW_MILLISECONDS = 600;
const PATH = '/user/21';
const NOTHING = Buffer.alloc(0);

/** @param {number} port @param {Sent} sent @returns {Promise<string>} */
async function send(port, { method, path, token, body, slow }) {
  const headers = {
    ...(token === undefined ? {} : { jwt: token }),
    ...(body ? { 'content-type': 'application/octet-stream', 'content-length': body.length } : {}),
  };
  return await new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => void (text += part));
      answer.on('error', reject).on('end', () => {
        const code = /"code":"(\w+)"/.exec(text)?.[1];
        resolve([answer.statusCode, code].filter((each) => each !== undefined).join(' '));
      });
    });
    outgoing.on('error', reject);
    if (!slow) {
      outgoing.end(body);
      return;
    }
    const half = (body?.length ?? 0) / 2;
    outgoing.write(body?.subarray(0, half));
    void wait(SLOW_MILLISECONDS).then(() => outgoing.end(body?.subarray(half)));
  });
}

/** @param {Services} services */
async function callersOf({ census, keys }) {
  const baseUrl = `http://127.0.0.1:${census.port}/`;
  const { privateKey } = keys.scribe;
  const caller = async (/** @type {object} */ other) =>
    await createServiceAuth({
      issuer: SCRIBE,
      signingKey: { privateKey },
      targets: [{ baseUrl, audience: CENSUS }],
      ...other,
    });
  return {
    baseUrl,
    scribe: await caller({}),
    late: await caller({ now: () => Date.now() - 600_000 }),
    lost: await caller({ targets: [{ baseUrl, audience: 'https://other.service/' }] }),
    rotated: await caller({ signingKey: { privateKey: newKey().privateKey } }),
    stranger: await caller({ issuer: 'https://stranger.service/' }),
    mailer: await caller({ issuer: MAILER, signingKey: { privateKey: keys.mailer.privateKey } }),
  };
}

/** What goes well, and what does not, with the answers. @param {Services} services @returns {Promise<{ good: Kind[], bad: Kind[] }>} */
export async function kindsOf(services) {
  const { baseUrl, scribe, late, lost, rotated, stranger, mailer } = await callersOf(services);
  const { herald, census } = services;
  const get = { method: 'GET', path: PATH };
  const body = Buffer.alloc(2000, 'x');
  const post = { method: 'POST', path: '/file', body };
  const type = { 'content-type': 'application/octet-stream' };

  /** @param {typeof scribe} by @param {string} [path] */
  const tokenOf = async (by, path = PATH) =>
    await by.sign({ method: 'GET', url: new URL(path, baseUrl).href, headers: {}, body: NOTHING });
  const fileToken = async () =>
    await scribe.sign({ method: 'POST', url: `${baseUrl}file`, headers: type, body });
  const used = await tokenOf(scribe);

  /** @param {string} path @returns {Send} */
  const throughHerald = (path) => async () => await send(herald.port, { method: 'GET', path });
  /** @param {typeof scribe} by @param {string} [path] @returns {Send} */
  const direct = (by, path) => async () =>
    await send(census.port, { ...get, token: await tokenOf(by, path) });

  return {
    good: [
      ['a call with a grant', '200', throughHerald('/proved/21')],
      ['a caller for itself', '200', direct(scribe)],
    ],
    bad: [
      ['a call without a grant', '200', throughHerald('/unproved/21')],
      ['a call whose grant a gateway drops', '200', throughHerald('/unbound/21')],
      ['a call without a token, in report-only mode', '200', throughHerald('/unsigned')],
      ['an old token', '401 token_expired', direct(late)],
      ['a token for another service', '401 audience_mismatch', direct(lost)],
      ['a token for another request', '401 request_mismatch', direct(scribe, '/user/22')],
      ['a token of an unknown key', '401 key_unknown', direct(rotated)],
      ['a token of a stranger', '401 issuer_unknown', direct(stranger)],
      [WITHOUT_KEYS, '503 key_unavailable', direct(mailer)],
      ['no token', '401 token_missing', async () => await send(census.port, get)],
      [
        'a token that was used',
        '401 token_replayed',
        async () => await send(census.port, { ...get, token: used }),
      ],
      [
        'another body',
        '401 body_mismatch',
        async () =>
          await send(census.port, {
            ...post,
            body: Buffer.alloc(body.length, 'y'),
            token: await fileToken(),
          }),
      ],
      [
        'a slow body',
        '200',
        async () => await send(census.port, { ...post, token: await fileToken(), slow: true }),
      ],
    ],
  };
}

/** Sends each kind of request, again and again, until it is stopped. */
export class Load {
  /** @type {Map<string, Set<string>>} */
  answers = new Map();
  sent = 0;
  /** What kept requests from being answered. @type {string[]} */
  failures = [];
  /** @type {Kind[]} */
  #kinds = [];
  /** @type {Set<Promise<void>>} */
  #inFlight = new Set();
  #timer = setInterval(() => this.#tick(), TICK_MILLISECONDS);

  /** From now on these too. @param {Kind[]} kinds */
  add(kinds) {
    this.#kinds.push(...kinds);
  }

  #tick() {
    for (const [name, , sendOne] of this.#kinds) {
      const sending = this.#note(name, sendOne).finally(() => this.#inFlight.delete(sending));
      this.#inFlight.add(sending);
    }
  }

  /** @param {string} name @param {Send} sendOne */
  async #note(name, sendOne) {
    this.sent++;
    try {
      const seen = this.answers.get(name) ?? new Set();
      this.answers.set(name, seen.add(await sendOne()));
    } catch (error) {
      this.failures.push(`${name}: ${String(error)}`);
    }
  }

  /** The kinds that were never answered as they should be. */
  get unexpected() {
    return this.#kinds
      .filter(([name, expected]) => !this.answers.get(name)?.has(expected))
      .map(([name, expected]) => {
        const seen = [...(this.answers.get(name) ?? [])].join(', ') || 'no answer';
        return `${name}: ${seen}, and not ${expected}`;
      });
  }

  /** @param {string} name of a kind */
  isAccepted(name) {
    return this.answers.get(name)?.has('200') ?? false;
  }

  /** Resolves when the last answer has come. */
  async end() {
    clearInterval(this.#timer);
    await Promise.all(this.#inFlight);
  }
}
