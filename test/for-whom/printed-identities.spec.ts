import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { DEEP_PRINTINGS, PRINTINGS } from '../support/observed/traces.js';
import { PrintingService } from './printing-service.js';
import { PLAIN_TEXT } from './processes/plain-text.js';
import type { Kind } from './processes/printing-everything.process.js';

// `node scripts/test-canaries.mjs` runs this on every supported version of Node: they keep async contexts in different places.

const PROCESS = 'test/for-whom/processes/printing-everything.process.ts';
const LOGS = ['stdout', 'stderr', 'pino.log'];
/** What functions, whose members no JSON has, are shown by too. */
const SHOWING = [...PRINTINGS, ...DEEP_PRINTINGS]
  .map(([way]) => way)
  .filter((way) => /inspect|format|every member/.test(way));

let project: CompiledProject;
beforeAll(() => {
  project = compileProject([PROCESS, 'test/for-whom/processes/plain-text.ts']);
});
afterAll(() => project.remove());

describe.each([
  ['express', 'express'],
  ['fastify', 'fastify'],
  ['fastify, over HTTP/2', 'http2'],
])('on %s', (_title, place) => {
  describe.each(['explicit', 'ambient'])('with subjectPropagation: %s', (propagation) => {
    const service = new PrintingService(place, propagation);
    beforeAll(async () => await service.run(project.path(PROCESS)), 200_000);
    afterAll(async () => await service.remove());

    it('serves and fails as it should, and dies of the last rejection', () => {
      expect(service.unexpected).toEqual([]);
      expect(service.exitCode).toBe(1);
      expect(service.output.stderr).toMatch(/AxiosError: Request failed[^]*Node\.js v\d/);
      // Keys, and of each token: two segments and more, user, id, claims, digest; of each grant: two segments, a claim.
      const grants = [...service.secrets.values()].filter((what) => what === 'sent grant');
      expect(grants.length).toBeGreaterThan(40);
      expect(service.secrets.size).toBeGreaterThan(200);
    });

    it('PI-01 logs uncaught errors, as text, as JSON and with pino, with no secret and no identity', () => {
      const { stdout, stderr, 'pino.log': pino } = service.output;
      const logged = { stdout, stderr, pino };
      for (const name of ['stderr', 'pino'] as const) {
        expect(logged[name]).toContain('Request failed with status code 401');
        expect(logged[name]).toContain('fetch failed');
        expect(logged[name]).toContain('connect ECONNREFUSED');
        expect(logged[name]).toContain('The URL belongs to no configured target');
        expect(logged[name]).toContain('This call names no user');
      }
      expect(stderr).toContain('"level":"error"');
      expect(stdout).toContain(' to /fail/:failure/:way');
      expect(service.hitsIn(LOGS)).toEqual([]);
    });

    it.each<[string, Kind]>([
      ['PI-02 a served request, its answer and context, and what was begun in it', 'request'],
      ['PI-03 calls on their way, their options, answers and errors', 'call'],
      ['PI-04 the module, the guard, the clients and the context', 'part'],
      ['PI-05 the error of work that was left behind', 'rejection'],
      ['PI-06 a refusal, and where it was thrown', 'refusal'],
      ['PI-07 events, spans and metrics', 'report'],
    ])('%s show no secret and no identity', (_what, kind) => {
      const files = service.filesOf(kind);
      expect(files.length).toBeGreaterThan(kind === 'rejection' ? 3 : 1);
      expect(service.hitsIn(files)).toEqual([]);
    });

    it('PI-03 a fetch on its way is in the queue of undici alone, its token and grant and nothing else', () => {
      const files = service.filesOf('fetch-on-its-way');
      const hits = service.hitsIn(files).map(({ what }) => what);
      expect(new Set(hits)).toEqual(new Set(['sent token', 'sent grant']));
    });

    it('PI-01, PI-02, PI-03, PI-04 what nobody hides is shown by each of them', () => {
      expect(service.shown.size).toBeGreaterThan(60);
      const missing = [...service.shown].flatMap(([name, by]) =>
        SHOWING.filter((way) => !by.includes(way)).map((way) => `${name}: ${way}`),
      );
      expect(missing).toEqual([]);
      for (const log of ['stderr', 'pino.log']) expect(service.output[log]).toContain(PLAIN_TEXT);
    });
  });
});
