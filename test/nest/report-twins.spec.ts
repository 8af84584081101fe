import { type Attempt, tokenFor, toCall, withParts } from '../support/attacks/attempt.js';
import { TABLES } from '../support/attacks/tables.js';
import { type Answer, call } from '../support/http/http.js';
import { BASELINE, NOW_SECONDS } from '../support/services/census.js';
import {
  type Host,
  listenerOf,
  type Manners,
  remade,
  startHost,
} from '../support/services/odd-hosts.js';
import {
  CHANGED_HEADERS,
  type Mode,
  startTwins,
  type Twin,
} from '../support/services/report-twins.js';
import { ADAPTERS } from '../support/services/service.js';

/** The attack catalogue's requests to one application three times: without a guard, reporting, and enforcing. */

/** Of an answer, what the guard may not change. */
function unchanged({ status, text, headers }: Answer): object {
  const others = Object.entries(headers).filter(([name]) => !CHANGED_HEADERS.has(name));
  return { status, text, headers: Object.fromEntries(others) };
}

describe.each(ADAPTERS)('enforcement on %s', (adapter) => {
  let twins: Record<Mode, Twin>;
  beforeAll(async () => {
    twins = await startTwins(adapter);
  });
  afterAll(async () => {
    for (const twin of Object.values(twins)) await twin.close();
  });

  describe.each(TABLES)('%s', (_name, rows) => {
    const here = rows.filter(({ only }) => only === undefined || only === adapter);
    it.each(here)('RO-01 report changes no answer, and counts one $code: $title', async (row) => {
      const attack = withParts(withParts(BASELINE, row.common), row.change);
      const token = tokenFor(attack, NOW_SECONDS);
      const send = async (mode: Mode): Promise<Answer> => {
        twins[mode].events.decisions.splice(0);
        return await call(twins[mode].port, toCall(attack, token));
      };
      const plain = await send('unguarded');
      const reported = await send('report');
      expect(unchanged(reported)).toEqual(unchanged(plain));
      const refused = await send('enforce');
      expect(twins.report.events.decisions).toMatchObject([
        { type: 'request_would_be_refused', code: row.code },
      ]);
      expect(twins.enforce.events.decisions).toMatchObject([
        { type: 'request_refused', code: row.code },
      ]);
      expect(refused.code).toBe(row.code);
    });
  });
});

const HOSTS: [string, Manners][] = [
  ['gives headers alone', { withoutRawHeaders: true }],
  [
    'has no socket, and a length that is a number, and pushes the end late',
    { plainSocket: true, numericLength: true, lateEnd: true },
  ],
];

/** Of two lines, such a host gives the first, or both as one: it has not sent what the row sends. */
const JOINED: ReadonlySet<string> = new Set([
  'CH-04 two lines that were signed as one',
  'CH-07 the Content-Types application/octet-stream and application/octet-stream',
  'CH-07 the Content-Types application/octet-stream and text/plain',
]);

/** The tables of what a host has a part in. */
const OF_HOSTS = [
  'token syntax',
  'request, headers and body',
  'what says how the body is understood',
  'grants',
];

describe.each(ADAPTERS)('enforcement on %s', (adapter) => {
  describe.each(HOSTS)('behind a host that %s', (_host, manners) => {
    let twins: Record<Mode, Twin>;
    let hosts: Record<Mode, Host>;
    beforeAll(async () => {
      twins = await startTwins(adapter);
      const behind = async ({ app }: Twin): Promise<Host> => {
        const listener = listenerOf(app, adapter);
        return await startHost(
          (raw, response) =>
            void remade(raw, manners).then((request) => listener(request, response)),
        );
      };
      const { unguarded, report, enforce } = twins;
      hosts = {
        unguarded: await behind(unguarded),
        report: await behind(report),
        enforce: await behind(enforce),
      };
    });
    afterAll(async () => {
      for (const host of Object.values(hosts)) await host.close();
      for (const twin of Object.values(twins)) await twin.close();
    });

    const send = async (mode: Mode, attempt: Attempt, token: string): Promise<Answer> => {
      twins[mode].events.decisions.splice(0);
      return await call(hosts[mode].port, toCall(attempt, token));
    };

    it('RO-11 accepts the good request, and says so', async () => {
      const token = tokenFor(BASELINE, NOW_SECONDS);
      const plain = await send('unguarded', BASELINE, token);
      for (const mode of ['report', 'enforce'] as const) {
        expect(unchanged(await send(mode, BASELINE, token))).toEqual(unchanged(plain));
        expect(twins[mode].events.decisions).toMatchObject([{ type: 'request_accepted' }]);
      }
    });

    const tables = TABLES.filter(([name]) => OF_HOSTS.includes(name));
    describe.each(tables)('%s', (_name, rows) => {
      const here = rows.filter(
        ({ only, title }) =>
          (only === undefined || only === adapter) &&
          !(manners.withoutRawHeaders && JOINED.has(title)),
      );
      it.each(here)('RO-11 report changes no answer: $code: $title', async (row) => {
        const attack = withParts(withParts(BASELINE, row.common), row.change);
        const token = tokenFor(attack, NOW_SECONDS);
        const plain = await send('unguarded', attack, token);
        expect(unchanged(await send('report', attack, token))).toEqual(unchanged(plain));
        const { code } = await send('enforce', attack, token);
        // A host that joins two headers into one has the request refused for another reason.
        expect(code).toEqual(manners.withoutRawHeaders ? expect.any(String) : row.code);
        expect(twins.report.events.decisions).toMatchObject([
          { type: 'request_would_be_refused', code },
        ]);
        expect(twins.enforce.events.decisions).toMatchObject([{ type: 'request_refused', code }]);
      });
    });
  });
});
