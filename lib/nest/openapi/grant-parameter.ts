import { MAX_GRANT_LENGTH, type ProofPolicy } from '../../core/index.js';

const NAME = 'Txn-Token';

/** The Parameter Object of the header with the grant, for a route that requires a proof. */
export function grantParameter(proof: ProofPolicy) {
  return {
    name: NAME,
    in: 'header' as const,
    required: true,
    description: describe(proof),
    schema: { type: 'string', maxLength: MAX_GRANT_LENGTH },
  };
}

/** Whether a parameter is that header, ignoring case. */
export function isGrantParameter(parameter: object): boolean {
  const { in: place, name } = parameter as { in?: unknown; name?: unknown };
  return place === 'header' && String(name).toLowerCase() === NAME.toLowerCase();
}

function describe({ maxAgeSeconds = 300, scopes, originators, acrs }: ProofPolicy): string {
  const lists = (sets: readonly ReadonlySet<string>[] = []) =>
    sets.map((set) => [...set].map(quoted).join(' or ')).join(', and ');
  const terms: [what: string, words: string][] = [
    ['with the scope', [...new Set(scopes)].map(quoted).join(' and ')],
    ['of the originator', lists(originators)],
    ['with the `acr`', lists(acrs)],
  ];
  const asked = terms.flatMap(([what, words]) => (words === '' ? [] : [`${what} ${words}`]));
  return [
    'The grant of the user: an originator vouches that this user asked. It is the same on every hop, and `tth` of the',
    `token is its digest. This route takes one that is at most ${maxAgeSeconds} s old${['', ...asked].join(', ')}.`,
  ].join(' ');
}

function quoted(text: string): string {
  return `\`${text}\``;
}
