import { CALL_SUBJECT, ChosenSubject } from './call-subject.js';
import { readMembers } from './fetch-call.js';

/**
 * Makes the one call with this init on behalf of `subject`, whoever is being served.
 *
 * @returns a new init, of the implementation of fetch that the given one is of
 *
 * @example
 * `await fetch(url, onBehalfOf('https://census.service/user/42/', { method: 'DELETE' }))`
 */
export function onBehalfOf(subject: string, init?: RequestInit): RequestInit;
export function onBehalfOf<const Init extends object>(subject: string, init?: Init): Init;
export function onBehalfOf(subject: string, init?: object): object {
  return withSubject(init, new ChosenSubject(subject));
}

/**
 * Makes the one call with this init in the service's own name: the token names no user.
 *
 * @returns a new init, of the implementation of fetch that the given one is of
 *
 * @example
 * `await fetch(url, actingAsItself())`
 */
export function actingAsItself(init?: RequestInit): RequestInit;
export function actingAsItself<const Init extends object>(init?: Init): Init;
export function actingAsItself(init?: object): object {
  return withSubject(init, new ChosenSubject(undefined));
}

function withSubject(init: object | undefined, chosen: ChosenSubject): object {
  return Object.assign(readMembers(init), { [CALL_SUBJECT]: chosen });
}
