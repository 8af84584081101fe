import { createRequire } from 'node:module';
import { jest } from '@jest/globals';

/** What `app.inject()` loads of cookies is ESM that Jest cannot require before Node 24; none is used. */
export function injectWithoutCookies(): void {
  const toLightMyRequest = createRequire(createRequire(import.meta.url).resolve('fastify'));
  const toCookie = createRequire(toLightMyRequest.resolve('light-my-request'));
  jest.doMock(toCookie.resolve('cookie'), () => ({}));
}
