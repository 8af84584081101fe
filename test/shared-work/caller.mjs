// The plain caller: signs a real token for each request of a user, and sends those of strangers without one.
import { Agent, get } from 'node:http';
import { once } from 'node:events';

/**
 * @typedef {import('./application.js').Outcome} Outcome
 * @typedef {{ status: number, outcome: Outcome | undefined }} Reply
 */

/** @param {number} at */
export const userOf = (at) => `https://census.service/user/${at}/`;

export class Caller {
  #auth;
  #baseUrl;
  #agents = new Map([[Infinity, new Agent({ keepAlive: true })]]);

  /** @param {import('nestjs-service-auth').ServiceAuth} auth @param {string} baseUrl */
  constructor(auth, baseUrl) {
    this.#auth = auth;
    this.#baseUrl = baseUrl;
  }

  /**
   * @param {string} path
   * @param {string | undefined} user undefined for a stranger
   * @param {number} [sockets] how many there are for all requests
   * @returns {Promise<Reply>}
   */
  async send(path, user, sockets = Infinity) {
    const url = new URL(path, this.#baseUrl);
    const token = user === undefined ? undefined : await this.#tokenFor(url, user);
    const agent = this.#agents.get(sockets) ?? new Agent({ keepAlive: true, maxSockets: sockets });
    this.#agents.set(sockets, agent);
    const request = get(url, { agent, headers: token === undefined ? {} : { JWT: token } });
    const [response] = /** @type {[import('node:http').IncomingMessage]} */ (
      await once(request, 'response')
    );
    const text = await textOf(response);
    request.destroy(response.complete ? undefined : new Error('read enough'));
    const { statusCode: status = 0 } = response;
    return { status, outcome: status === 200 ? toOutcome(text) : undefined };
  }

  close() {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  /** @param {URL} url @param {string} subject */
  async #tokenFor(url, subject) {
    const body = new Uint8Array();
    return await this.#auth.sign({ method: 'GET', url, headers: {}, body, subject });
  }
}

/** All of an answer, or of a feed its first event. @param {import('node:http').IncomingMessage} response */
async function textOf(response) {
  const isFeed = response.headers['content-type']?.startsWith('text/event-stream');
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response.iterator({ destroyOnReturn: false })) {
    text += chunk;
    if (isFeed && text.includes('data: ') && text.endsWith('\n\n')) break;
  }
  return isFeed ? (/^data: (.*)$/m.exec(text)?.[1] ?? '') : text;
}

/** @param {string} text */
const toOutcome = (text) => /** @type {Outcome} */ (JSON.parse(text));
