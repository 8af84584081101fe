// The service that receives the requests of most files, and those that call it.
import { jwkFor, keys } from './keys.mjs';

export const CENSUS = 'https://census.service/';
export const PEOPLE = 'https://people.service/';
export const HERALD = 'https://herald.service/';
export const CLERK = 'https://clerk.service/';
export const NAMESAKE = 'https://namesake.service/';
export const VETERAN = 'https://veteran.service/';
export const PAIR = 'https://pair.service/';
export const USER = 'https://census.service/user/21/';

const heraldJwk = jwkFor(keys['p-256'], 'ES256');

export const RECEIVER = {
  issuer: CENSUS,
  audiences: [CENSUS, PEOPLE],
  clockToleranceSeconds: 5,
  maxTokenLifetimeSeconds: 300,
  publicPathPrefix: '',
  requiredHeaders: [],
  trustedIssuers: [
    { issuer: HERALD, profile: 'strict', subjects: null, keys: [heraldJwk] },
    {
      issuer: CLERK,
      profile: 'strict',
      subjects: ['https://census.service/user/', 'urn:census:'],
      keys: [jwkFor(keys['p-384'], 'ES384')],
    },
    // Another key under the id of Herald's: an issuer has its own keys, whatever they are called.
    {
      issuer: NAMESAKE,
      profile: 'strict',
      subjects: null,
      keys: [{ ...jwkFor(keys.stranger, 'ES256'), kid: keys['p-256'].kid }],
    },
    { issuer: VETERAN, profile: 'original', subjects: null, keys: [heraldJwk] },
    {
      issuer: PAIR,
      profile: 'original',
      subjects: null,
      keys: [heraldJwk, jwkFor(keys.stranger, 'ES256')],
    },
  ],
  routes: [
    { path: '/for-user', subjectRequired: true },
    { path: '/for-clerk', allowedIssuers: [CLERK] },
  ],
};

/** A request with a body, as most calls with a body are. */
export const POSTED = {
  method: 'POST',
  target: '/user/?dry=1',
  headers: /** @type {[string, string][]} */ ([['Content-Type', 'application/json']]),
  body: '{"name":"Zoë"}',
};
