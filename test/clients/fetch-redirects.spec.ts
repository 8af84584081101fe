import type { ServerResponse } from 'node:http';
import { ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { Agent, fetch as fetchOfUndici, interceptors } from 'undici';
import { FETCHES, FetchingService } from '../support/services/fetching-service.js';
import { type Recorded, RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { FROM_HERALD } from '../support/services/sending-service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const STATUSES = [301, 302, 303, 307, 308] as const;

/** What callers may wish about redirects. None of it makes a token travel on. */
const WISHES: readonly [string, RequestInit][] = [
  ['nothing', {}],
  ['follow', { redirect: 'follow' }],
  ['manual', { redirect: 'manual' }],
];

const ROWS = FETCHES.flatMap(({ name, module }) =>
  STATUSES.flatMap((status) =>
    (['same', 'other'] as const).map((host) => ({
      name,
      module,
      status,
      host,
      id: host === 'other' ? 'OS-01' : 'OS-02',
    })),
  ),
);

/** Answers with the redirect that the path names: `/307/same`. */
const redirect = ({ target: path }: Recorded, response: ServerResponse) => {
  const [, status, host] = path.split('/');
  if (host === undefined) return void response.end('{}');
  const location = host === 'same' ? '/landed' : `${other.url}/landed`;
  response.writeHead(Number(status), { location }).end('{}');
};
const target = new RecordingServer(redirect);
const unknown = new RecordingServer(redirect);
const other = new RecordingServer();
beforeAll(async () => {
  await Promise.all([target, unknown, other].map(async (server) => await server.start()));
});
afterAll(async () => {
  await Promise.all([target, unknown, other].map((server) => server.close()));
});

/** The other host is a target as well: even that one gets no token made for another request. */
const start = async (module: (typeof FETCHES)[number]['module']) =>
  await FetchingService.start([target.url, other.url], { unknownTargets: 'send-unsigned' }, module);

describe.each(ROWS)(
  'a redirect with $status to the $host host, by $name',
  ({ module, status, host, id }) => {
    let herald: FetchingService;
    beforeAll(async () => (herald = await start(module)));
    afterAll(async () => await herald.close());
    const url = () => `${target.url}/${status}/${host}`;
    const onlyOne = () => {
      const [only, ...more] = [...target.takeAll(), ...other.takeAll()];
      expect(more).toEqual([]);
      checkStrict(only!, FROM_HERALD);
    };

    it.each(WISHES)(
      `${id} is the answer and goes no further, whatever the caller wishes: %s`,
      async (_name, wish) => {
        const init = { method: 'POST', body: 'x', ...wish };
        const { response } = await herald.send(url(), init);
        expect(response).toMatchObject({ status, ok: false, redirected: false });
        expect(response.headers.get('location')).toMatch(/\/landed$/);
        onlyOne();
      },
    );

    it(`${id} is the answer to a call without a body`, async () => {
      expect(await herald.send(url())).toMatchObject({ status });
      onlyOne();
    });

    it(`${id} is a failure for those who want it so`, async () => {
      await expect(herald.send(url(), { redirect: 'error' })).rejects.toMatchObject({
        name: 'TypeError',
        message: 'fetch failed',
      });
      onlyOne();
    });

    it(`${id} is followed where nothing is signed, without any token`, async () => {
      const headers = { JWT: 'inbound.token.x', 'x-kept': 'yes' };
      const answer = await herald.fetch(`${unknown.url}/${status}/${host}`, { headers });
      await answer.text();
      expect(answer).toMatchObject({ status: 200 });
      const hops = [...unknown.takeAll(), ...other.takeAll()];
      expect(hops.map(({ target: hop }) => hop)).toEqual([`/${status}/${host}`, '/landed']);
      for (const hop of hops) {
        expect(valuesOf(hop, 'jwt')).toEqual([]);
        expect(valuesOf(hop, 'x-kept')).toEqual(['yes']);
      }
    });
  },
);

describe('a redirect', () => {
  it('OS-01, OS-02 of a Request is the answer too, whatever the Request wishes', async () => {
    const herald = await start(ServiceFetchModule);
    const request = (wish: 'follow' | 'error') =>
      new Request(`${target.url}/307/other`, { method: 'POST', body: 'x', redirect: wish });
    expect(await herald.send(request('follow'))).toMatchObject({ status: 307 });
    checkStrict(target.takeOne(), FROM_HERALD);
    await expect(herald.send(request('error'))).rejects.toMatchObject({ name: 'TypeError' });
    checkStrict(target.takeOne(), FROM_HERALD);
    expect(other.takeAll()).toEqual([]);
    await herald.close();
  });

  it('OS-01 is not followed by a dispatcher that is made to follow', async () => {
    const dispatcher = new Agent().compose(interceptors.redirect({ maxRedirections: 5 }));
    const herald = await start(ServiceFetchModule.register({ fetch: fetchOfUndici }));
    const init = { dispatcher } as unknown as RequestInit;
    expect(await herald.send(`${target.url}/302/other`, init)).toMatchObject({ status: 302 });
    checkStrict(target.takeOne(), FROM_HERALD);
    expect(other.takeAll()).toEqual([]);
    await Promise.all([herald.close(), dispatcher.close()]);
  });

  it('OS-01 would be followed with the token by fetch alone', async () => {
    const headers = { JWT: 'some.token.x' };
    await (await fetch(`${unknown.url}/302/other`, { headers })).text();
    unknown.takeAll();
    expect(valuesOf(other.takeOne(), 'jwt')).toEqual(['some.token.x']);
  });
});
