import type { AxiosRequestConfig } from 'axios';
import { CALL_SUBJECT, ChosenSubject } from '../../clients/call-subject.js';

/**
 * Makes the one call with this configuration on behalf of `subject`, whoever is being served.
 *
 * @example
 * `http.get(url, onBehalfOf('https://census.service/user/42/', { timeout: 1000 }))`
 */
export function onBehalfOf<D = unknown>(
  subject: string,
  config: AxiosRequestConfig<D> = {},
): AxiosRequestConfig<D> {
  return withSubject(config, new ChosenSubject(subject));
}

/**
 * Makes the one call with this configuration in the service's own name: the token names no user.
 *
 * @example
 * `http.get(url, actingAsItself())`
 */
export function actingAsItself<D = unknown>(
  config: AxiosRequestConfig<D> = {},
): AxiosRequestConfig<D> {
  return withSubject(config, new ChosenSubject(undefined));
}

function withSubject<D>(
  config: AxiosRequestConfig<D>,
  chosen: ChosenSubject,
): AxiosRequestConfig<D> {
  return Object.assign({ ...config }, { [CALL_SUBJECT]: chosen });
}
