import type { ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AxiosRequestConfig } from 'axios';
import { type Recorded, RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { axiosOfNest, FROM_HERALD, SendingService } from '../support/services/sending-service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const STATUSES = [301, 302, 303, 307, 308] as const;
const ADAPTERS_OF_AXIOS = ['http', 'fetch'] as const;

/** The package with which axios follows redirects; it has no types. */
const ofAxios = createRequire(createRequire(import.meta.url).resolve('axios'));
const followRedirects = ofAxios('follow-redirects') as { readonly http: object };

/** What callers may do about redirects. None of it makes a token travel on. */
const WISHES: readonly [string, AxiosRequestConfig][] = [
  ['nothing', {}],
  ['maxRedirects', { maxRedirects: 5 }],
  ['beforeRedirect', { maxRedirects: 5, beforeRedirect: () => undefined }],
  ['options of fetch', { fetchOptions: { redirect: 'follow' } }],
  ['a transport that follows', { transport: followRedirects.http }],
];

const ROWS = ADAPTERS_OF_AXIOS.flatMap((adapter) =>
  STATUSES.flatMap((status) =>
    (['same', 'other'] as const).map((host) => ({
      adapter,
      status,
      host,
      id: host === 'other' ? 'OS-01' : 'OS-02',
    })),
  ),
);

describe('a redirect', () => {
  /** Answers with the redirect that the path names: `/307/same`. */
  const redirect = ({ target }: Recorded, response: ServerResponse) => {
    const [, status, host] = target.split('/');
    if (host === undefined) return void response.end('{}');
    const location = host === 'same' ? '/landed' : `${other.url}/landed`;
    response.writeHead(Number(status), { location }).end('{}');
  };
  const target = new RecordingServer(redirect);
  const unknown = new RecordingServer(redirect);
  const other = new RecordingServer();
  let herald: SendingService;
  beforeAll(async () => {
    await Promise.all([target, unknown, other].map(async (server) => await server.start()));
    // The other host is a target as well: even that one gets no token made for another request.
    herald = await SendingService.start([target.url, other.url], {
      unknownTargets: 'send-unsigned',
    });
  });
  afterAll(async () => {
    await Promise.all([target, unknown, other, herald].map((service) => service.close()));
  });

  describe.each(ROWS)(
    'with $status to the $host host, through the $adapter adapter',
    ({ adapter, status, host, id }) => {
      const url = () => `${target.url}/${status}/${host}`;
      const arrived = () => [...target.takeAll(), ...other.takeAll()];

      it.each(WISHES)(
        `${id} is an error and goes no further, whatever the caller wishes: %s`,
        async (_name, wish) => {
          const sending = herald.send({
            method: 'post',
            url: url(),
            data: { a: 1 },
            adapter,
            ...wish,
          });
          await expect(sending).rejects.toMatchObject({ response: { status } });
          const [only, ...more] = arrived();
          expect(more).toEqual([]);
          checkStrict(only!, FROM_HERALD);
        },
      );

      it(`${id} is an answer for those who take it as one`, async () => {
        const validateStatus = (code: number) => code < 400;
        const answer = await herald.send({ url: url(), adapter, validateStatus });
        expect(answer).toMatchObject({
          status,
          headers: { location: expect.stringContaining('/landed') as string },
        });
        expect(arrived()).toHaveLength(1);
      });

      it(`${id} is followed where nothing is signed, without any token`, async () => {
        const headers = { JWT: 'inbound.token.x', 'x-kept': 'yes' };
        const url = `${unknown.url}/${status}/${host}`;
        const answer = await herald.http.axiosRef.get(url, { adapter, headers });
        expect(answer.status).toBe(200);
        const hops = [...unknown.takeAll(), ...other.takeAll()];
        expect(hops.map(({ target: hop }) => hop)).toEqual([`/${status}/${host}`, '/landed']);
        for (const hop of hops) {
          expect(valuesOf(hop, 'jwt')).toEqual([]);
          expect(valuesOf(hop, 'x-kept')).toEqual(['yes']);
        }
      });
    },
  );

  it('OS-01 would be followed with the token by axios alone', async () => {
    const headers = { JWT: 'some.token.x' };
    await axiosOfNest.create().get(`${unknown.url}/302/other`, { headers });
    unknown.takeAll();
    expect(valuesOf(other.takeOne(), 'jwt')).toEqual(['some.token.x']);
  });
});
