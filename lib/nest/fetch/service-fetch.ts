import type { SignedFetch } from '../../clients/fetch.js';

/** A type for what is called, in the place of a class: Nest takes classes for what they provide. */
const Callable = Object as unknown as abstract new () => SignedFetch;

/**
 * A fetch that signs every request to a configured target, as `ServiceFetchModule` provides it. It is called
 * like fetch and answers like fetch. Each call names its user.
 *
 * @example
 * constructor(@Inject(ServiceFetch) private readonly fetch: ServiceFetch) {}
 * find(caller: ServiceIdentity) { return this.fetch('https://census.service/user/42', onBehalfOf(caller)); }
 */
export abstract class ServiceFetch extends Callable {}
