import { type AttackRow, type AttemptParts, withPayload } from './attempt.js';
import { NOW_SECONDS as NOW, ORIGINAL } from '../services/census.js';

const TOLERANCE = 5;
/** In the original profile with a fresh `jti`, and so remembered. */
const remembered = (claims: Record<string, number>): AttemptParts => {
  const { jti: _, ...others } = ORIGINAL.claims;
  return { ...ORIGINAL, claims: { ...others, ...claims } };
};
const INSIDE = NOW + 3600 + TOLERANCE;
const DAY = 86_400;
const show = (value: unknown): string => JSON.stringify(value);

/** Writes a number as JSON text that `JSON.stringify` would not produce. */
const literal = (name: string, text: string): AttemptParts => ({
  build: withPayload((json) => json.replace(new RegExp(`"${name}":[0-9.]+`), `"${name}":${text}`)),
});

const row = (
  title: string,
  code: AttackRow['code'],
  claims: Record<string, unknown>,
): AttackRow => ({
  title,
  code,
  change: { claims },
});

const NO_NUMBERS = ['123', 'x', '', null, true, {}, [], [NOW + 60]];

/** `iat` of a token whose only flaw may be its `exp`, and the other way round. */
const past = { iat: NOW - 60 };

export const TIMES: readonly AttackRow[] = [
  {
    title: 'TM-01 exp a second further back than the tolerance',
    code: 'token_expired',
    common: { claims: { ...past, exp: NOW - TOLERANCE + 1 } },
    change: { claims: { exp: NOW - TOLERANCE - 1 } },
  },
  {
    title: 'TM-02 exp exactly the tolerance back',
    code: 'token_expired',
    common: { claims: { ...past, exp: NOW - TOLERANCE + 0.001 } },
    change: { claims: { exp: NOW - TOLERANCE } },
  },
  ...[
    ['TM-04', 'exp'],
    ['TM-13', 'iat'],
    ['TM-14', 'nbf'],
  ].flatMap(([id, name = '']) =>
    NO_NUMBERS.map((value) =>
      row(`${id} ${name} ${show(value)}`, 'claim_invalid', { [name]: value }),
    ),
  ),
  { title: 'TM-05 exp 1e999', code: 'claim_invalid', change: literal('exp', '1e999') },
  { title: 'TM-05 exp 1e308', code: 'lifetime_too_long', change: literal('exp', '1e308') },
  {
    title: 'TM-05 exp 2^53 + 1',
    code: 'lifetime_too_long',
    change: literal('exp', '9007199254740993'),
  },
  { title: 'TM-13 iat -1e999', code: 'claim_invalid', change: literal('iat', '-1e999') },
  { title: 'TM-13 iat -1e308', code: 'token_expired', change: literal('iat', '-1e308') },
  row('TM-06 exp in milliseconds', 'lifetime_too_long', { exp: (NOW + 60) * 1000 }),
  row('TM-06 iat and exp in milliseconds', 'token_not_yet_valid', {
    iat: NOW * 1000,
    exp: (NOW + 60) * 1000,
  }),
  row('TM-06 exp in ten years', 'lifetime_too_long', { exp: NOW + 3650 * DAY }),
  {
    title: 'TM-07 a life of 301 seconds',
    code: 'lifetime_too_long',
    common: { claims: { exp: NOW + 300 } },
    change: { claims: { exp: NOW + 301 } },
  },
  {
    title: 'TM-07 a life of 3601 seconds in the original profile',
    code: 'lifetime_too_long',
    common: { ...ORIGINAL, claims: { ...ORIGINAL.claims, iat: NOW, exp: NOW + 3600 } },
    change: { claims: { exp: NOW + 3601 } },
  },
  ...[
    ['a second', INSIDE + 1],
    ['a millisecond', INSIDE + 0.001],
    ['ten years', NOW + 3650 * DAY],
    ['some 300 million years', 2 ** 53],
  ].map(([title, exp]): AttackRow => ({
    title: `TM-20 an original token with jti and without iat, exp ${title} too far ahead`,
    code: 'lifetime_too_long',
    common: remembered({ exp: INSIDE }),
    change: { claims: { exp } },
  })),
  {
    title: 'TM-20 the same with an nbf of the past',
    code: 'lifetime_too_long',
    common: remembered({ nbf: NOW - DAY, exp: INSIDE }),
    change: { claims: { exp: INSIDE + 1 } },
  },
  {
    title: 'TM-20 the same with an nbf that is far ahead too',
    code: 'token_not_yet_valid',
    common: remembered({ nbf: NOW + TOLERANCE, exp: INSIDE }),
    change: { claims: { nbf: NOW + 3600 } },
  },
  {
    title: 'TM-20 a strict token with exp at the limit and without iat',
    code: 'claim_missing',
    common: { claims: { exp: NOW + 300 } },
    change: { claims: { iat: undefined } },
  },
  {
    title: 'TM-20 a strict token with iat ahead by the tolerance, and a life too long',
    code: 'lifetime_too_long',
    common: { claims: { iat: NOW + TOLERANCE, exp: NOW + TOLERANCE + 300 } },
    change: { claims: { exp: NOW + TOLERANCE + 300.25 } },
  },
  row('TM-08 exp equal to iat', 'claim_invalid', { iat: NOW, exp: NOW }),
  row('TM-08 exp before iat', 'claim_invalid', { iat: NOW + 3, exp: NOW + 2 }),
  row('TM-08 nbf after exp', 'claim_invalid', { nbf: NOW + 61 }),
  row('TM-09 exp 0', 'token_expired', { exp: 0 }),
  row('TM-09 exp -1', 'token_expired', { exp: -1 }),
  {
    title: 'TM-01 exp passed in the original profile',
    code: 'token_expired',
    common: ORIGINAL,
    change: { claims: { exp: NOW - TOLERANCE } },
  },
  {
    title: 'TM-11 iat later than the tolerance',
    code: 'token_not_yet_valid',
    common: { claims: { iat: NOW + TOLERANCE } },
    change: { claims: { iat: NOW + TOLERANCE + 0.001 } },
  },
  {
    title: 'TM-11 iat later than the tolerance in the original profile',
    code: 'token_not_yet_valid',
    common: { ...ORIGINAL, claims: { ...ORIGINAL.claims, iat: NOW + TOLERANCE } },
    change: { claims: { iat: NOW + TOLERANCE + 1 } },
  },
  {
    title: 'TM-12 iat longer ago than a token may live, exp ahead',
    code: 'token_expired',
    common: { claims: { iat: NOW - 290, exp: NOW + 10 } },
    change: { claims: { iat: NOW - 300 - TOLERANCE } },
  },
  {
    title: 'TM-14 nbf later than the tolerance',
    code: 'token_not_yet_valid',
    common: { claims: { nbf: NOW + TOLERANCE } },
    change: { claims: { nbf: NOW + TOLERANCE + 1 } },
  },
  ...['NaN', '+5', '05', '0x10', '1_000', '5.', '.5', 'Infinity'].map((text): AttackRow => ({
    title: `TM-15 exp ${text}`,
    code: 'token_malformed',
    change: literal('exp', text),
  })),
];

export const GOOD_TIMES: readonly { title: string; change: AttemptParts }[] = [
  { title: 'TM-03 exp in a second', change: { claims: { ...past, exp: NOW + 1 } } },
  {
    title: 'TM-10 fractional times',
    change: { claims: { iat: NOW - 0.5, exp: NOW + 9.25, nbf: NOW - 0.5 } },
  },
  { title: 'TM-10 times in scientific notation', change: literal('exp', `${(NOW + 60) / 1e9}e9`) },
  { title: 'nbf equal to exp', change: { claims: { ...past, nbf: NOW + 4, exp: NOW + 4 } } },
  {
    title: 'TM-20 an original token with jti and without iat, exp as far ahead as it may be',
    change: remembered({ exp: INSIDE }),
  },
  {
    title: 'TM-20 without jti nothing is remembered, and exp may be far ahead',
    change: { ...ORIGINAL, claims: { ...ORIGINAL.claims, exp: NOW + 3650 * DAY } },
  },
  {
    title: 'an original token that has times',
    change: { ...ORIGINAL, claims: { ...ORIGINAL.claims, iat: NOW, exp: NOW + 3600 } },
  },
];

/** TM-16, PF-01: the caller's clock against the receiver's, with a tolerance of 60 seconds. */
export const SKEWS: readonly [seconds: number, passes: boolean][] = [
  [-61, false],
  [-60, false],
  [-59, true],
  [0, true],
  [59, true],
  [60, true],
  [61, false],
];
