// Answers to messages, part by part, and what the caller makes of them: protocol, "Answers to messages".
import { digest } from './forge.mjs';
import { jwkFor, keys, WARNING } from './keys.mjs';
import { CENSUS, HERALD, PEOPLE } from './receiver.mjs';
import { defined, NOW, sign } from './vector-file.mjs';

/** @typedef {import('./forge.mjs').Json} Json */
/** @typedef {{ readonly JWT?: unknown, readonly text?: unknown }} Part */

const MESSAGE = {
  answerer: CENSUS,
  asker: HERALD,
  tokenId: 'the-id-of-the-message-0001',
};

/** A part as it should be, but for `change`. `text`: the text that is signed; undefined: none. */
function part(
  /** @type {number} */ seq,
  /** @type {string | undefined} */ text,
  /** @type {{ claims?: Json, header?: Json, key?: import('./keys.mjs').TestKey }} */ change = {},
) {
  const { key = keys['p-256'] } = change;
  const claims = {
    iss: MESSAGE.answerer,
    aud: MESSAGE.asker,
    iat: NOW,
    rid: MESSAGE.tokenId,
    seq,
    bdy: text === undefined ? undefined : digest('sha256', text),
    ...change.claims,
  };
  const header = { alg: 'ES256', typ: 'ans+jwt', kid: keys['p-256'].kid, ...change.header };
  const parts = { header: defined(header), claims: defined(claims), alg: 'ES256', key };
  return defined({ JWT: sign(parts), text });
}

const last = { claims: { end: true } };
const failure = '{"status":"error","message":"no such user"}';

/** @type {Json[]} */
const vectors = [];

function add(/** @type {{ id: string, twin?: string }} */ { id, twin }, /** @type {Json} */ rest) {
  if (vectors.some((one) => one['id'] === id)) throw new Error(`two answers are called ${id}`);
  vectors.push(twin === undefined ? { id, ...rest } : { id, twin, ...rest });
}

/** An answer that is believed; `values` are its texts, null for one of undefined, `error` that of its error. */
function believed(
  /** @type {string} */ id,
  /** @type {string} */ description,
  /** @type {Part[]} */ parts,
  /** @type {{ values: (string | null)[], error?: string }} */ { values, error },
) {
  const expected = { verdict: 'believed', values, error: error ?? null };
  add({ id }, { description, parts, expected });
}

/** An answer that is refused, after so many of its values were handed on. */
function refused(
  /** @type {{ id: string, twin: string }} */ about,
  /** @type {string} */ description,
  /** @type {Part[]} */ parts,
  /** @type {[code: string, values?: string[]]} */ [code, values = []],
) {
  add(about, { description, parts, expected: { verdict: 'refused', code, values } });
}

const one = part(0, '{"id":42}', last);
believed('one', 'one value, which is the last', [one], { values: ['{"id":42}'] });
believed('null', 'a value of null', [part(0, 'null', last)], { values: ['null'] });
believed('none', 'an end without a value', [part(0, undefined, last)], { values: [] });
believed(
  'three',
  'two values, and the end',
  [part(0, '1'), part(1, '2'), part(2, undefined, last)],
  {
    values: ['1', '2'],
  },
);
believed('error', 'an error', [part(0, failure, { claims: { err: true, end: true } })], {
  values: [],
  error: failure,
});
believed('error-alone', 'an error is an end', [part(0, failure, { claims: { err: true } })], {
  values: [],
  error: failure,
});
believed(
  'late-error',
  'an error after a value',
  [part(0, '1'), part(1, failure, { claims: { err: true, end: true } })],
  { values: ['1'], error: failure },
);
believed(
  'typ-case',
  'typ as a media type',
  [part(0, '1', { ...last, header: { typ: 'application/ANS+JWT' } })],
  { values: ['1'] },
);

/** Answers of one part that differ from `one` in one property. */
/** @type {[id: string, description: string, code: string, change: Parameters<typeof part>[2]][]} */
const FLAWS = [
  ['typ-message', 'the typ of a message', 'answer_invalid', { header: { typ: 'msg+jwt' } }],
  ['typ-request', 'the typ of a request', 'answer_invalid', { header: { typ: 'svc+jwt' } }],
  ['no-typ', 'no typ', 'answer_invalid', { header: { typ: undefined } }],
  ['no-kid', 'no kid', 'answer_invalid', { header: { kid: undefined } }],
  ['header-member', 'another member in the header', 'answer_invalid', { header: { cty: 'json' } }],
  ['stranger', 'signed with the key of a stranger', 'answer_invalid', { key: keys.stranger }],
  [
    'other-key',
    'a key that the service has not',
    'answer_invalid',
    {
      key: keys.stranger,
      header: { kid: keys.stranger.kid },
    },
  ],
  ['other-service', 'of another service', 'answer_mismatch', { claims: { iss: HERALD } }],
  [
    'other-name',
    'under another name of the service',
    'answer_mismatch',
    { claims: { iss: PEOPLE } },
  ],
  ['other-asker', 'for another service', 'answer_mismatch', { claims: { aud: PEOPLE } }],
  [
    'other-message',
    'to another message',
    'answer_mismatch',
    {
      claims: { rid: 'the-id-of-the-message-0002' },
    },
  ],
  ['no-rid', 'to no message', 'answer_mismatch', { claims: { rid: undefined } }],
  ['second', 'a part is missing before it', 'answer_mismatch', { claims: { seq: 1 } }],
  ['seq-text', 'seq is text', 'answer_mismatch', { claims: { seq: '0' } }],
  ['no-bdy', 'a text without bdy', 'answer_invalid', { claims: { bdy: undefined } }],
  ['end-number', 'end is 1', 'answer_invalid', { claims: { end: 1 } }],
  ['err-false', 'err is false', 'answer_invalid', { claims: { err: false } }],
];
for (const [id, description, code, change] of FLAWS) {
  const claims = { end: true, ...change?.claims };
  const parts = [part(0, '{"id":42}', { ...change, claims })];
  refused({ id, twin: 'one' }, description, parts, [code]);
}

const { JWT } = one;
/** Parts that are changed after they were signed, or not signed. */
/** @type {[id: string, description: string, code: string, part: Part][]} */
const FORGED = [
  ['other-text', 'another text', 'answer_invalid', { JWT, text: '{"id":43}' }],
  ['spaced-text', 'the text with a space', 'answer_invalid', { JWT, text: '{"id": 42}' }],
  ['text-removed', 'the text removed', 'answer_invalid', { JWT }],
  ['text-null', 'null for a text', 'answer_invalid', { JWT, text: null }],
  ['unsigned', 'a value that is not signed', 'answer_unsigned', /** @type {Part} */ ({ id: 42 })],
  ['token-null', 'null for a token', 'answer_unsigned', { JWT: null, text: '{"id":42}' }],
  ['no-token', 'what is no token', 'answer_invalid', { JWT: 'x', text: '{"id":42}' }],
];
for (const [id, description, code, forged] of FORGED) {
  refused({ id, twin: 'one' }, description, [forged], [code]);
}
refused(
  { id: 'text-added', twin: 'none' },
  'a text added',
  [{ ...part(0, undefined, last), text: '1' }],
  ['answer_invalid'],
);
refused(
  { id: 'no-json', twin: 'one' },
  'a signed text that is no JSON',
  [part(0, '{id:42}', last)],
  ['answer_invalid'],
);
believed(
  'undefined',
  'a part without text before the end: a value of undefined',
  [part(0, undefined), part(1, undefined, last)],
  { values: [null] },
);
refused(
  { id: 'empty-error', twin: 'error' },
  'an error without text',
  [part(0, undefined, { claims: { err: true, end: true } })],
  ['answer_invalid'],
);

refused(
  { id: 'cut', twin: 'three' },
  'it ends before its last part',
  [part(0, '1'), part(1, '2')],
  ['answer_mismatch', ['1', '2']],
);
refused({ id: 'nothing', twin: 'none' }, 'it ends before its first part', [], ['answer_mismatch']);
refused(
  { id: 'repeated', twin: 'three' },
  'a part comes twice',
  [part(0, '1'), part(0, '1')],
  ['answer_mismatch', ['1']],
);
refused(
  { id: 'reordered', twin: 'three' },
  'the second part comes first',
  [part(1, '2'), part(0, '1')],
  ['answer_mismatch'],
);
refused(
  { id: 'gap', twin: 'three' },
  'the second part is missing',
  [part(0, '1'), part(2, undefined, last)],
  ['answer_mismatch', ['1']],
);
refused(
  { id: 'after-end', twin: 'one' },
  'a part after the end',
  [one, part(1, '2', last)],
  ['answer_mismatch', ['{"id":42}']],
);

export const answers = {
  toJson: () => ({
    description: 'Answers to one message, part by part.',
    warning: WARNING,
    message: MESSAGE,
    keys: [jwkFor(keys['p-256'], 'ES256')],
    vectors,
  }),
};
