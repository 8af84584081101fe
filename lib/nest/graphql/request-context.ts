import { ENDPOINT_REQUEST } from '../resolver-context.js';

/** The option `context` of GraphQLModule: one object, or a function that gives one to each request. */
type ContextOption = object | ((...args: unknown[]) => unknown) | undefined;

/**
 * The option `context` so that each request gets an object of its own, which names the request. Drivers write the request
 * into what the application gives them; into an object that requests share, that of the first or of the last.
 */
export function contextOfEachRequest(
  context: ContextOption,
): (...args: unknown[]) => Promise<unknown> {
  return async (...args) => {
    const given: unknown = typeof context === 'function' ? await context(...args) : context;
    // Drivers replace what is no object.
    return isObject(given ?? {}) ? copyFor(requestIn(args), given ?? {}) : given;
  };
}

function copyFor(request: unknown, context: object): object {
  const own = Object.getOwnPropertyDescriptors(context);
  const named = { value: request, enumerable: true };
  const prototype = Object.getPrototypeOf(context) as object | null;
  return Object.create(prototype, { ...own, [ENDPOINT_REQUEST]: named }) as object;
}

/** Apollo gives `{ req, res }` on Express; Apollo on Fastify and Mercurius give the request. */
function requestIn([first]: readonly unknown[]): unknown {
  return isObject(first) && 'req' in first ? first.req : first;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
