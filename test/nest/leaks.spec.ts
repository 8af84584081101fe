import { fork } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { REFUSALS } from 'nestjs-service-auth';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { ADAPTERS } from '../support/services/service.js';
import { DEEP_PRINTINGS, leaksOf, PRINTINGS } from '../support/observed/traces.js';
import type { Told } from './processes/printing-service.process.js';

const PROCESS = 'test/nest/processes/printing-service.process.ts';

/** What the guard never looks at keeps its headers: other headers, and requests that end before it. */
const TOKEN_STAYS = [
  'TS-06 the token only in Authorization',
  'TS-06 the token only in a cookie',
  'TS-06 the token only in headers with similar names',
  'a route that is none',
  'a body that is no JSON, refused before the guard',
];

/** What the process prints of an error that holds a token. */
const SHOWN = 'shown-because-nobody-hid-it';

let project: CompiledProject;
beforeAll(() => void (project = compileProject([PROCESS])));
afterAll(() => project.remove());

/** Of requests. Others refuse messages alone. */
const CODES = Object.entries(REFUSALS)
  .filter(([, { isOfMessages }]) => !isOfMessages)
  .map(([code]) => code);

describe.each(ADAPTERS)(
  'a service on %s that prints all it refuses and all that fails',
  (adapter) => {
    const told: Told[] = [];
    /** Everything on stdout and stderr, each line once. */
    let printed = '';

    beforeAll(async () => {
      const { FORCE_COLOR: _colour, ...env } = process.env;
      const child = fork(project.path(PROCESS), [adapter], {
        silent: true,
        timeout: 280_000,
        env: { ...env, NO_COLOR: '1' },
      });
      child.on('message', (one: Told) => told.push(one));
      const output = [child.stdout, child.stderr].map(
        async (stream) => stream && (await text(stream)),
      );
      const [code] = (await once(child, 'exit')) as [number];
      const lines = (await Promise.all(output)).join('\n').split('\n');
      printed = [...new Set(lines)].join('\n');
      expect({ code, printed: code === 0 ? '' : printed.slice(-2000) }).toEqual({
        code: 0,
        printed: '',
      });
    }, 290_000);

    it('TF-18 answers each request as the tables say, every code among them', () => {
      expect(told.length).toBeGreaterThan(600);
      expect(told.filter(({ expected, answered }) => expected !== answered)).toEqual([]);
      const answered = new Set(told.map((one) => one.answered));
      expect(CODES.filter((code) => !answered.has(code))).toEqual([]);
    });

    it('TF-18 prints them, and would print what nobody hides', () => {
      const codes = CODES.map((code) => `code: '${code}'`);
      const parts = [
        'header_mismatch, content-type differs. ',
        'replay_store_unavailable. Check the replay store.',
        "type: 'keys_refresh_failed'",
        'Service auth is not configured correctly',
        'ServiceSigningError: ',
        SHOWN,
      ];
      expect([...codes, ...parts].filter((part) => !printed.includes(part))).toEqual([]);
      const headers = { jwt: SHOWN };
      const careless = Object.assign(new Error('failed', { cause: { headers } }), { headers });
      const ways = [...PRINTINGS, ...DEEP_PRINTINGS].map(([name]) => name);
      // An error's own text never shows its members.
      expect(leaksOf(careless, [SHOWN])).toEqual(ways.filter((way) => way !== 'String and stack'));
    });

    it('TF-18 prints nothing of a token, a claim, a key id, a body, a key, a reply of a key server', () => {
      const named = new Set(told.map(({ namedInLog }) => namedInLog));
      const all = new Set(told.flatMap((one) => one.secrets));
      const secrets = [...all].filter((secret) => !named.has(secret));
      expect(secrets.length).toBeGreaterThan(2000);
      expect(secrets.filter((secret) => printed.includes(secret))).toEqual([]);
      expect(printed.match(/canary-(?:of|subject|claim|body)[-\w]*/g)).toBeNull();
    });

    it('TF-18 repeats none of it in an answer', () => {
      const refused = told.filter(({ answered }) => ![200, 201].includes(Number(answered)));
      const repeating = refused.filter(({ answer, secrets }) =>
        secrets.some((secret) => answer.includes(secret)),
      );
      expect(repeating.map(({ title }) => title)).toEqual([]);
    });

    it('TF-18, TF-22 leaves no token on a request that the guard has refused', () => {
      const filtered = told.filter(({ isTokenOnRequest }) => isTokenOnRequest !== undefined);
      expect(filtered.length).toBeGreaterThan(600);
      const keeping = filtered.filter(({ isTokenOnRequest }) => isTokenOnRequest);
      expect(keeping.map(({ title }) => title)).toEqual(TOKEN_STAYS);
    });
  },
);
