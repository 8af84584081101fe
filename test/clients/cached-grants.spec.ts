import { Controller, Get, UseGuards } from '@nestjs/common';
import { setupCache, buildMemoryStorage, defaultKeyGenerator } from 'axios-cache-interceptor';
import {
  RequireSubjectProof,
  ServiceAuth,
  ServiceAuthModule,
  ServiceCallContext,
  ServiceCaller,
  ServiceGrants,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { onBehalfOf, userCacheKey } from 'nestjs-service-auth/axios';
import { createSignedDispatcher } from 'nestjs-service-auth/undici';
import { Agent, type Dispatcher, interceptors } from 'undici';
import { CENSUS, HERALD, heraldKey, SendingService } from '../support/services/sending-service.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const ALICE = 'https://census.service/user/alice/';
const DOMAIN = 'https://test.example.org/';
const subjects = ['https://census.service/user/'];

/** How often the called service was asked. */
let asked = 0;

@Controller()
@UseGuards(ServiceJwtGuard)
class SecretsController {
  @Get('secret')
  @RequireSubjectProof()
  secret(@ServiceCaller() { subject }: ServiceIdentity) {
    asked += 1;
    return { of: subject };
  }
}

// The plain bug that grants are for: a user is named who has not asked. An answer to that user's own call is no answer to it.
describe.each(ADAPTERS)('on %s, an answer to a call with a grant', (adapter) => {
  let census: TestService;
  let herald: SendingService;
  beforeAll(async () => {
    census = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustDomain: DOMAIN,
          originators: [{ issuer: HERALD, subjects }],
          trustedIssuers: [
            { issuer: HERALD, publicKey: heraldKey.publicPem, subjectProof: { mode: 'off' } },
          ],
        }),
      ],
      controllers: [SecretsController],
    });
  });
  beforeEach(async () => {
    asked = 0;
    herald = await SendingService.start([census.url], {
      trustDomain: DOMAIN,
      originate: { subjects },
    });
  });
  afterEach(async () => await herald.close());
  afterAll(async () => await census.close());

  const context = () => herald.context.get(ServiceCallContext, { strict: false });
  const grants = () => herald.context.get(ServiceGrants, { strict: false });
  const statusOf = async (sending: Promise<{ status: number }>) => {
    const { status } = await sending.catch(
      (error: { response: { status: number } }) => error.response,
    );
    return status;
  };

  it('is not kept by axios-cache-interceptor for one without', async () => {
    setupCache(herald.http.axiosRef as never, {
      storage: buildMemoryStorage(),
      interpretHeader: false,
      generateKey: (config, meta) => userCacheKey(config, defaultKeyGenerator(config, meta)),
    });
    const url = `${census.url}/secret`;
    const get = async () => await statusOf(herald.http.axiosRef.get(url, onBehalfOf(ALICE)));
    const grant = await grants().issue(ALICE);
    const proved = async (given = grant) =>
      await context().runOnBehalfOf(ALICE, get, { grant: given });
    expect([await proved(), await proved()]).toEqual([200, 200]);
    expect(asked).toBe(1);
    expect(await get()).toBe(403);
    expect(await proved(await grants().issue(ALICE))).toBe(200);
    expect(asked).toBe(2);
  });

  it.each(['cache', 'deduplicate'] as const)(
    'is not shared with one without by %s() of undici',
    async (name) => {
      const agent = new Agent();
      const dispatcher = createSignedDispatcher(
        herald.context.get(ServiceAuth, { strict: false }),
        agent,
        {
          callContext: context(),
          interceptors: [interceptors[name]()],
        },
      );
      const get = async () => {
        const call = { origin: census.url, path: '/secret', method: 'GET' } as const;
        const named = onBehalfOf(ALICE, call) as Dispatcher.RequestOptions;
        const { statusCode, body } = await dispatcher.request(named);
        await body.dump();
        return statusCode;
      };
      const grant = await grants().issue(ALICE);
      const proved = async () => await context().runOnBehalfOf(ALICE, get, { grant });
      const statuses = await Promise.all([proved(), get(), proved(), get()]);
      await agent.close();
      expect(statuses).toEqual([200, 403, 200, 403]);
      // Equal calls share an answer where undici lets them.
      expect(asked).toBe(name === 'deduplicate' ? 1 : 2);
    },
  );
});
