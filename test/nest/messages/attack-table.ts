import type { TransportName } from '../../support/messages/brokers.js';
import type { MessageParts } from '../../support/messages/forged-message.js';
import type { Headers } from '../../support/messages/plain-broker.js';
import { makeGrant, tthOf } from '../../support/tokens/grant.js';
import * as census from './attacked-census.js';

/**
 * What becomes of a message: a code that refuses it, or how it was let in. `reported` and a code: let in, and reported.
 * Written by hand from the design, never from what the code answers.
 */
export type Outcome = string;

type Verb = 'SEND' | 'EMIT';

export interface AttackRow {
  readonly id: string;
  readonly input: string;
  /** The handler, after `send.` or `emit.`. Default `plain`. */
  readonly handler?: string;
  readonly change?: (verb: Verb) => Partial<MessageParts>;
  readonly outcome: Outcome | ((verb: Verb, transport: TransportName) => Outcome);
}

const nowSeconds = () => Math.floor(Date.now() / 1000);
const lasting = (seconds: number, from = 0) => ({
  claims: { iat: nowSeconds() + from, exp: nowSeconds() + from + seconds },
});

const scribe = { issuer: census.SCRIBE, key: census.scribeKey };
const veteran = { issuer: census.VETERAN, key: census.veteranKey };
const foreigner = { issuer: census.FOREIGNER, key: census.foreignerKey };
const courier = { issuer: census.COURIER, key: census.courierKey };

/** The text of the packet that a plain client writes for a foreign issuer. Its id is part of the bytes. */
const deep = (levels: number): string => `${'['.repeat(levels)}1${']'.repeat(levels)}`;

const grantOf = (subject: string) =>
  makeGrant({
    key: census.edgeKey,
    originator: census.EDGE,
    trustDomain: census.TRUST_DOMAIN,
    subject,
    now: nowSeconds(),
  });

/** A call of the courier for its user, with a grant beside it. */
function withGrant(grant: string, tth: string | undefined): Partial<MessageParts> {
  return {
    ...courier,
    claims: { tth },
    headers: (JWT): Headers => ({ JWT, 'Txn-Token': grant }),
  };
}

const other = (verb: Verb): Verb => (verb === 'SEND' ? 'EMIT' : 'SEND');

export const ATTACKS: readonly AttackRow[] = [
  { id: 'MS-01', input: 'a good message', outcome: 'accepted' },
  {
    id: 'MS-01',
    input: 'good data with every kind of value',
    outcome: 'accepted',
    change: () => ({ data: '{"a":[1,1.5,"x",true,null,{}],"\u00fc":"\\u0000\ud83d\ude00"}' }),
  },
  { id: 'MS-01', input: 'null', outcome: 'accepted', change: () => ({ data: 'null' }) },

  {
    id: 'MS-02',
    input: 'no token',
    outcome: 'token_missing',
    change: () => ({ headers: () => ({}) }),
  },
  {
    id: 'MS-02',
    input: 'an empty token',
    outcome: 'token_missing',
    change: () => ({ headers: () => ({ JWT: '' }) }),
  },
  {
    id: 'MS-03',
    input: 'two tokens in one header',
    outcome: 'token_repeated',
    change: () => ({ headers: (JWT) => ({ JWT: [JWT, JWT] }) }),
  },
  {
    id: 'MS-03',
    input: 'two headers in two spellings',
    outcome: 'token_repeated',
    change: () => ({ headers: (JWT) => ({ JWT, jwt: JWT }) }),
  },
  {
    id: 'MS-03',
    input: 'its header in another spelling',
    outcome: 'accepted',
    change: () => ({ headers: (jwt) => ({ jwt }) }),
  },
  {
    id: 'MS-03',
    input: 'a token that is cut off',
    outcome: 'token_malformed',
    change: () => ({ headers: (JWT) => ({ JWT: JWT.slice(0, JWT.lastIndexOf('.')) }) }),
  },

  {
    id: 'MS-04',
    input: 'changed data',
    outcome: 'body_mismatch',
    change: () => ({ signedData: '{"id":43}' }),
  },
  {
    id: 'MS-04',
    input: 'members in another order',
    outcome: 'body_mismatch',
    change: () => ({ data: '{"b":1,"a":2}', signedData: '{"a":2,"b":1}' }),
  },
  {
    id: 'MS-04',
    input: 'other white space, which JSON has no meaning for',
    outcome: 'accepted',
    change: () => ({ data: '{ "id" : 42 }', signedData: '{"id":42}' }),
  },
  {
    id: 'MS-04',
    input: 'no digest',
    outcome: 'claim_missing',
    change: () => ({ claims: { bdy: undefined } }),
  },
  {
    id: 'MS-04',
    input: 'a digest in upper case',
    outcome: 'claim_invalid',
    change: () => ({ claims: { bdy: 'A'.repeat(64) } }),
  },

  {
    id: 'MS-05',
    input: 'the token of another pattern',
    outcome: 'request_mismatch',
    change: (verb) => ({ route: `${verb.toLowerCase()}.user` }),
  },
  {
    id: 'MS-06',
    input: 'the token of the other verb',
    outcome: 'request_mismatch',
    change: (verb) => ({ verb: other(verb) }),
  },
  {
    id: 'MS-06',
    input: 'the token of a job',
    outcome: 'request_mismatch',
    change: () => ({ verb: 'JOB' }),
  },
  {
    id: 'MS-07',
    input: 'the type of a token of HTTP',
    outcome: 'header_invalid',
    change: () => ({ header: { typ: 'svc+jwt' } }),
  },
  {
    id: 'MS-07',
    input: 'the type of an answer',
    outcome: 'header_invalid',
    change: () => ({ header: { typ: 'ans+jwt' } }),
  },
  {
    id: 'MS-07',
    input: 'no type',
    outcome: 'header_invalid',
    change: () => ({ header: { typ: undefined } }),
  },
  {
    id: 'MS-07',
    input: 'a token of HTTP',
    outcome: 'claim_invalid',
    change: () => ({ header: { typ: 'svc+jwt' }, claims: { req: 'POST /plain' } }),
  },

  {
    id: 'MS-10',
    input: 'an expired token',
    outcome: 'token_expired',
    change: () => lasting(60, -600),
  },
  {
    id: 'MS-10',
    input: 'a token of the future',
    outcome: 'token_not_yet_valid',
    change: () => lasting(60, 600),
  },
  {
    id: 'MS-10',
    input: 'a token that begins later',
    outcome: 'token_not_yet_valid',
    change: () => ({ claims: { nbf: nowSeconds() + 600, exp: nowSeconds() + 660 } }),
  },
  {
    id: 'MS-10',
    input: 'a token of six minutes',
    outcome: (verb) => (verb === 'SEND' ? 'lifetime_too_long' : 'accepted'),
    change: () => lasting(360),
  },
  {
    id: 'MS-10',
    input: 'a token of eight days',
    outcome: 'lifetime_too_long',
    change: () => lasting(8 * 86_400),
  },
  {
    id: 'MS-10',
    input: 'a token without id',
    outcome: 'claim_missing',
    change: () => ({ claims: { jti: undefined } }),
  },
  {
    id: 'MS-10',
    input: 'a token without end',
    outcome: 'claim_missing',
    change: () => ({ claims: { exp: undefined } }),
  },

  {
    id: 'MS-11',
    input: 'another audience',
    outcome: 'audience_mismatch',
    change: () => ({ audience: census.SCRIBE }),
  },
  {
    id: 'MS-11',
    input: 'a list of audiences',
    outcome: 'claim_invalid',
    change: () => ({ claims: { aud: [census.CENSUS] } }),
  },
  {
    id: 'MS-12',
    input: 'the topic of the service',
    outcome: (verb) => (verb === 'EMIT' ? 'accepted' : 'audience_mismatch'),
    change: () => ({ audience: census.TOPIC }),
  },
  {
    id: 'MS-12',
    input: 'another topic',
    outcome: 'audience_mismatch',
    change: () => ({ audience: census.OTHER_TOPIC }),
  },

  {
    id: 'MS-13',
    input: 'an unknown issuer',
    outcome: 'issuer_unknown',
    change: () => ({ issuer: 'https://stranger.service/', key: census.strangerKey }),
  },
  {
    id: 'MS-13',
    input: 'the issuer with the key of another',
    outcome: 'key_unknown',
    change: () => ({ key: census.scribeKey }),
  },
  {
    id: 'MS-13',
    input: 'a foreign key under the id of a good one',
    outcome: 'signature_invalid',
    change: () => ({ key: { ...census.strangerKey, keyId: census.heraldKey.keyId } }),
  },
  { id: 'MS-13', input: 'another trusted issuer', outcome: 'accepted', change: () => scribe },
  {
    id: 'MS-14',
    input: 'an issuer that is trusted for HTTP alone',
    outcome: 'issuer_unknown',
    change: () => ({ issuer: census.BROWSER, key: census.browserKey }),
  },
  {
    id: 'MS-14',
    input: 'an issuer that is trusted for jobs alone',
    outcome: 'issuer_unknown',
    change: () => ({ issuer: census.WORKER, key: census.workerKey }),
  },
  {
    id: 'MS-15',
    input: 'an issuer in the original profile, with a strict token',
    outcome: 'header_invalid',
    change: () => veteran,
  },
  {
    id: 'MS-15',
    input: 'an issuer in the original profile, with one of its own',
    outcome: 'header_invalid',
    change: () => ({
      ...veteran,
      header: { typ: 'JWT', kid: undefined },
      claims: { iat: undefined, exp: undefined, jti: undefined, req: undefined },
    }),
  },

  {
    id: 'MS-16',
    input: 'hdr',
    outcome: 'claim_invalid',
    change: () => ({ claims: { hdr: { 'content-type': 'application/json' } } }),
  },
  {
    id: 'MS-16',
    input: 'an empty hdr',
    outcome: 'claim_invalid',
    change: () => ({ claims: { hdr: {} } }),
  },
  {
    id: 'MS-17',
    input: 'raw in the place of bdy',
    outcome: 'claim_invalid',
    change: () => ({ claims: { bdy: undefined, raw: '0'.repeat(64) } }),
  },
  {
    id: 'MS-17',
    input: 'raw beside bdy',
    outcome: 'claim_invalid',
    change: () => ({ claims: { raw: '0'.repeat(64) } }),
  },
  {
    id: 'MS-17',
    input: 'an issuer of raw messages that signs bdy',
    outcome: 'claim_invalid',
    change: () => foreigner,
  },
  {
    id: 'MS-17',
    input: 'an issuer of raw messages that signs both',
    outcome: 'claim_invalid',
    change: () => ({ ...foreigner, claims: { raw: '0'.repeat(64) } }),
  },
  {
    id: 'MS-17',
    input: 'an issuer of raw messages, other bytes',
    outcome: (_, transport) =>
      ['RabbitMQ', 'MQTT'].includes(transport) ? 'body_mismatch' : 'body_unverifiable',
    change: () => ({ ...foreigner, claims: { bdy: undefined, raw: '0'.repeat(64) } }),
  },

  {
    id: 'MS-18',
    input: '1e999, signed as null',
    outcome: 'body_unverifiable',
    change: () => ({ data: '{"id":1e999}', signedData: '{"id":null}' }),
  },
  {
    id: 'MS-18',
    input: '-1e999, signed as null',
    outcome: 'body_unverifiable',
    change: () => ({ data: '-1e999', signedData: 'null' }),
  },
  {
    id: 'MS-18',
    input: '-0, signed as 0',
    outcome: 'body_unverifiable',
    change: () => ({ data: '[-0]', signedData: '[0]' }),
  },
  { id: 'MS-18', input: '0', outcome: 'accepted', change: () => ({ data: '[0]' }) },
  {
    id: 'MS-18',
    input: 'data of 64 levels',
    outcome: 'accepted',
    change: () => ({ data: deep(64) }),
  },
  {
    id: 'MS-18',
    input: 'data of 65 levels',
    outcome: 'body_unverifiable',
    change: () => ({ data: deep(65) }),
  },
  {
    id: 'MS-18',
    input: 'a member __proto__, signed without it',
    outcome: 'body_mismatch',
    change: () => ({ data: '{"__proto__":{"id":1}}', signedData: '{}' }),
  },

  { id: 'MS-20', input: 'no grant', outcome: 'grant_missing', change: () => courier },
  {
    id: 'MS-20',
    input: 'a grant',
    outcome: 'accepted',
    change: () => withGrant(...paired(grantOf(census.USER))),
  },
  {
    id: 'MS-20',
    input: 'the grant of another user',
    outcome: 'grant_mismatch',
    change: () => withGrant(...paired(grantOf('https://census.service/user/99/'))),
  },
  {
    id: 'MS-20',
    input: 'a grant that the token does not name',
    outcome: 'grant_mismatch',
    change: () => withGrant(grantOf(census.USER), undefined),
  },
  {
    id: 'MS-20',
    input: 'the grant of another message',
    outcome: 'grant_mismatch',
    change: () => withGrant(grantOf(census.USER), tthOf(grantOf(census.USER))),
  },
  {
    id: 'MS-20',
    input: 'nobody, where a user is needed',
    outcome: 'subject_missing',
    change: () => ({ ...courier, subject: undefined }),
  },
  {
    id: 'MS-20',
    input: 'a grant for a handler that wants it',
    handler: 'grant',
    outcome: 'accepted',
    change: () => withGrant(...paired(grantOf(census.USER))),
  },

  {
    id: 'MS-21',
    input: 'an issuer that the handler does not name',
    handler: 'scribe',
    outcome: 'issuer_not_allowed',
  },
  {
    id: 'MS-21',
    input: 'an issuer that the handler names',
    handler: 'scribe',
    outcome: 'accepted',
    change: () => scribe,
  },
  {
    id: 'MS-22',
    input: 'nobody, under @RequireSubject()',
    handler: 'user',
    outcome: 'subject_missing',
    change: () => ({ subject: undefined }),
  },
  { id: 'MS-22', input: 'a user, under @RequireSubject()', handler: 'user', outcome: 'accepted' },
  { id: 'MS-22', input: 'a user, with @ServiceSubject()', handler: 'subject', outcome: 'accepted' },
  {
    id: 'MS-23',
    input: 'no token, under @OptionalServiceAuth()',
    handler: 'optional',
    outcome: 'anonymous',
    change: () => ({ headers: () => ({}) }),
  },
  {
    id: 'MS-23',
    input: 'a good token, under @OptionalServiceAuth()',
    handler: 'optional',
    outcome: 'accepted',
  },
  {
    id: 'MS-23',
    input: 'changed data, under @OptionalServiceAuth()',
    handler: 'optional',
    outcome: 'body_mismatch',
    change: () => ({ signedData: '{}' }),
  },
  {
    id: 'MS-24',
    input: 'no token, under @SkipServiceAuth()',
    handler: 'open',
    outcome: 'open',
    change: () => ({ headers: () => ({}) }),
  },
  {
    id: 'MS-24',
    input: 'an expired token, under @SkipServiceAuth()',
    handler: 'open',
    outcome: 'open',
    change: () => lasting(60, -600),
  },
  {
    id: 'MS-25',
    input: 'a good token, under @ReportOnly()',
    handler: 'reported',
    outcome: 'accepted',
  },
  {
    id: 'MS-25',
    input: 'no token, under @ReportOnly()',
    handler: 'reported',
    outcome: 'reported token_missing',
    change: () => ({ headers: () => ({}) }),
  },
  {
    id: 'MS-25',
    input: 'changed data, under @ReportOnly()',
    handler: 'reported',
    outcome: 'reported body_mismatch',
    change: () => ({ signedData: '{}' }),
  },
  {
    id: 'MS-25',
    input: 'another audience, under @ReportOnly()',
    handler: 'reported',
    outcome: 'reported audience_mismatch',
    change: () => ({ audience: census.SCRIBE }),
  },
];

function paired(grant: string): [string, string] {
  return [grant, tthOf(grant)];
}

/** The parts of the message that a row sends. */
export function partsOf({ handler = 'plain', change }: AttackRow, verb: Verb): MessageParts {
  return {
    key: census.heraldKey,
    issuer: census.HERALD,
    audience: census.CENSUS,
    subject: census.USER,
    verb,
    pattern: `${verb.toLowerCase()}.${handler}`,
    data: '{"id":42}',
    ...change?.(verb),
  };
}

export function outcomeOf({ outcome }: AttackRow, verb: Verb, transport: TransportName): Outcome {
  return typeof outcome === 'string' ? outcome : outcome(verb, transport);
}
