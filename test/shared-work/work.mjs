// How a request of the battery does its work: through which client, and with which words about the user.
import { onBehalfOf } from 'nestjs-service-auth';
import { defer, firstValueFrom, map } from 'rxjs';

/**
 * @typedef {import('./application.js').Answer} Answer
 * @typedef {import('./application.js').Served} Served
 * @typedef {import('./application.js').Clients} Clients
 * @typedef {import('rxjs').Observable<Answer[]>} Answers
 * @typedef {(url: string | URL, init?: object) => Promise<Response>} FetchLike
 * @typedef {() => Promise<Answer>} Task
 * @typedef {'nothing' | 'words' | 'around'} Naming
 */

/**
 * What a cell has its requests do: name the user with nothing, with `onBehalfOf()` in the call (`words`) or with
 * `runOnBehalfOf()` around the shared work (`around`); and whether the row's cure is applied.
 *
 * @typedef {{ naming: Naming, isCured: boolean }} Way
 */

/**
 * A client that signs, in the forms in which the rows use it. `task` makes the function that does one request's work.
 *
 * @typedef {object} Client
 * @property {(path: string, options?: object) => Promise<Answer[]>} call
 * @property {(path: string, options?: object) => Answers} observe
 * @property {(id: string, options?: object, path?: string) => Task} task
 * @property {FetchLike} fetch for libraries that take a fetch
 */

/** @typedef {Clients & { way: Way, client: Client, calledUrl: string }} Tools */

export const CLIENTS = /** @type {const} */ (['HttpService', 'axiosRef', 'fetch']);
/** An Observable that a request makes, and that the shared work subscribes to. */
export const MADE_BEFORE = 'HttpService, made before';
/** @typedef {typeof CLIENTS[number] | typeof MADE_BEFORE} ClientName */

/** @type {(response: { data: Answer[] }) => Answer[]} */
const dataOf = ({ data }) => data;

/** @param {ClientName} name @param {Clients} clients @param {string} calledUrl @returns {Client} */
export function createClient(name, { http, fetch }, calledUrl) {
  if (name === 'fetch') {
    const call = async (/** @type {string} */ path, /** @type {object | undefined} */ options) => {
      const response = await fetch(new URL(path, calledUrl), options);
      if (!response.ok) throw new Error(`answered ${response.status}`);
      return /** @type {Answer[]} */ (await response.json());
    };
    return fromCall(call, (url, init) => fetch(url, init));
  }
  if (name === 'axiosRef') {
    return fromCall(
      async (path, options) => dataOf(await http.axiosRef.get(path, options)),
      fetchThrough((config) => http.axiosRef.request(config)),
    );
  }
  /** @type {Client['observe']} */
  const observe = (path, options) =>
    /** @type {import('rxjs').Observable<{ data: Answer[] }>} */ (http.get(path, options)).pipe(
      map(dataOf),
    );
  const client = fromCall(
    async (path, options) => await firstValueFrom(observe(path, options)),
    fetchThrough((config) => firstValueFrom(http.request(config))),
  );
  if (name === 'HttpService') return { ...client, observe };
  return {
    ...client,
    observe,
    task: (id, options, path = 'echo') => {
      const made = observe(`${path}/${id}`, options);
      return async () => firstOf(await firstValueFrom(made));
    },
  };
}

/** @param {Client['call']} call @param {FetchLike} fetch @returns {Client} */
function fromCall(call, fetch) {
  return {
    call,
    observe: (path, options) => defer(() => call(path, options)),
    task:
      (id, options, path = 'echo') =>
      async () =>
        firstOf(await call(`${path}/${id}`, options)),
    fetch,
  };
}

/** @param {Answer[]} answers */
export function firstOf([answer]) {
  if (!answer) throw new Error('no answer');
  return answer;
}

/**
 * A fetch that axios does the work of.
 *
 * @param {(config: import('axios').AxiosRequestConfig) => Promise<{ status: number, data: unknown }>} send
 * @returns {FetchLike}
 */
function fetchThrough(send) {
  return async (url, init = {}) => {
    const { status, data } = await send({
      ...init,
      url: String(url),
      data: /** @type {unknown} */ (Reflect.get(init, 'body')),
      transformResponse: (/** @type {unknown} */ text) => text,
      validateStatus: () => true,
    });
    const headers = { 'content-type': 'application/json' };
    return new Response(String(data), { status, headers });
  };
}

/** The options that name the user of a request, where the way says so. @param {Tools} tools @param {Served} request */
export function optionsOf({ way }, { caller }) {
  return way.naming === 'words' && caller ? onBehalfOf(caller) : undefined;
}

/**
 * Runs what a request does with the shared work, inside `runOnBehalfOf()` where the way says so. A stranger has nobody
 * to name.
 *
 * @template T
 * @param {Tools} tools
 * @param {Served} request
 * @param {() => T} use
 * @returns {T}
 */
export function around({ way, callContext }, { caller }, use) {
  return way.naming === 'around' && caller ? callContext.runOnBehalfOf(caller, use) : use();
}
