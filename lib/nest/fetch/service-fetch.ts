import type { SignedFetch } from '../../clients/fetch.js';

/** Types the provided function as a class: Nest uses classes as tokens of providers. */
const Callable = Object as unknown as abstract new () => SignedFetch;

/**
 * A fetch that signs every request to a configured target, as `ServiceFetchModule` provides it. Parameters and
 * answers are those of fetch. Each call names its user.
 *
 * @example
 * constructor(@Inject(ServiceFetch) private readonly fetch: ServiceFetch) {}
 * find(caller: ServiceIdentity) { return this.fetch('https://census.service/user/42', onBehalfOf(caller)); }
 */
export abstract class ServiceFetch extends Callable {}
