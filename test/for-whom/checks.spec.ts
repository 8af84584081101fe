import { HttpModule, HttpService } from '@nestjs/axios';
import { ServiceAuth, ServiceCallContext, type ServiceIdentity } from 'nestjs-service-auth';
import {
  actingAsItself,
  onBehalfOf as onBehalfOfWithAxios,
  ServiceHttpModule,
} from 'nestjs-service-auth/axios';
import { createSignedFetch, ServiceAuthUsageError } from 'nestjs-service-auth/core';
import { onBehalfOf, ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { lastValueFrom } from 'rxjs';
import type { RequestState } from '../../lib/nest/request-state.js';
import { Caller } from '../support/services/caller.js';
import { RecordingServer } from '../support/http/recording-server.js';
import {
  axiosOfNest,
  FROM_HERALD,
  HERALD,
  refusalOf,
  SendingService,
} from '../support/services/sending-service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

// Each refusing check of lib/for-whom, by itself: scripts/removed-checks.mjs takes them out in turn.

const ALICE = 'https://census.service/user/alice/';
const BOB = 'https://census.service/user/bob/';
const agent = new Caller('https://agent.service/', HERALD);
const wire = new RecordingServer();
beforeAll(async () => void (await wire.start()));
afterAll(async () => await wire.close());

/** A service that sends, and verifies what the agent calls it with. */
class WholeService {
  private constructor(private readonly service: SendingService) {}

  static async start(subjectPropagation: 'explicit' | 'ambient'): Promise<WholeService> {
    const options = { trustedIssuers: [agent.trusted], subjectPropagation };
    const imports = [ServiceHttpModule.register(), ServiceFetchModule];
    return new WholeService(await SendingService.start([wire.url], options, imports));
  }

  get auth(): ServiceAuth {
    return this.service.context.get(ServiceAuth, { strict: false });
  }

  get context(): ServiceCallContext {
    return this.service.context.get(ServiceCallContext, { strict: false });
  }

  get http(): HttpService {
    return this.service.http;
  }

  get fetch(): ServiceFetch {
    return this.service.context.get(ServiceFetch, { strict: false });
  }

  /** The verified identity of a request that the agent makes for a user. */
  async identityOf(subject?: string): Promise<ServiceIdentity> {
    const rawHeaders = ['JWT', agent.token({ target: '/', subject })];
    return await this.auth.verify({ method: 'GET', target: '/', rawHeaders, body: Buffer.of() });
  }

  /** The state of such a request, once the guard of this service has verified it. */
  async requestOf(subject?: string): Promise<RequestState> {
    const identity = await this.identityOf(subject);
    return {
      verification: { verifier: this.auth, identity, isReport: false, previous: undefined },
    };
  }

  async close(): Promise<void> {
    await this.service.close();
  }
}

let ambient: WholeService;
let explicit: WholeService;
beforeAll(async () => {
  [ambient, explicit] = await Promise.all([
    WholeService.start('ambient'),
    WholeService.start('explicit'),
  ]);
});
afterAll(async () => await Promise.all([ambient.close(), explicit.close()]));

/** The call was made, once, for this user. */
async function expectFor(subject: string | undefined, sending: Promise<unknown>): Promise<void> {
  await sending;
  checkStrict(wire.takeOne(), { ...FROM_HERALD, subject });
}

/** The call was refused before anything was sent, for this reason. */
async function expectUndecided(reason: RegExp, sending: Promise<unknown>): Promise<void> {
  await expect(sending).rejects.toMatchObject({
    code: 'subject_undecided',
    message: expect.stringMatching(reason) as string,
  });
  expect(wire.takeAll()).toEqual([]);
}

describe('a call that names nobody', () => {
  const get = async (service: WholeService) => await (await service.fetch(wire.url)).text();

  it('OS-29 is refused in a request of an explicit service, and made for its user in one that is ambient', async () => {
    const served = await explicit.requestOf(ALICE);
    await expectUndecided(
      /onBehalfOf\(caller\)/,
      explicit.context.runForRequest(served, async () => await get(explicit)),
    );
    const ambientlyServed = await ambient.requestOf(ALICE);
    await expectFor(
      ALICE,
      ambient.context.runForRequest(ambientlyServed, async () => await get(ambient)),
    );
  });

  it('OS-29 is refused outside of requests', async () => {
    await expectUndecided(/onBehalfOf\(caller\)/, get(explicit));
    await expectUndecided(/no request is being served here/, get(ambient));
    await expectFor(
      undefined,
      ambient.context.runActingAsItself(async () => await get(ambient)),
    );
  });

  it('OS-29 is refused in a request of an explicit service that acts as itself outside of them', async () => {
    const options = { subjectOutsideRequest: 'act-as-itself' } as const;
    const janitor = await SendingService.start([wire.url], options);
    const context = janitor.context.get(ServiceCallContext, { strict: false });
    const auth = janitor.context.get(ServiceAuth, { strict: false });
    const identity = await ambient.identityOf(ALICE);
    const served = {
      verification: { verifier: auth, identity, isReport: false, previous: undefined },
    };
    const send = async () => await janitor.http.axiosRef.get(wire.url);
    await expectUndecided(
      /onBehalfOf\(caller\)/,
      context.runForRequest(served, async () => await send()),
    );
    await expectFor(undefined, send());
    await janitor.close();
  });

  it('OS-29 is refused once the request has been answered', async () => {
    const served = await ambient.requestOf(ALICE);
    await expectFor(
      ALICE,
      ambient.context.runForRequest(served, async () => await get(ambient)),
    );
    served.endedAt = performance.now();
    await expectUndecided(
      /has been answered/,
      ambient.context.runForRequest(served, async () => await get(ambient)),
    );
  });

  it('OS-29 is refused in a request that proved no user, or whose user another service verified', async () => {
    await expectUndecided(
      /no guard of this service/,
      ambient.context.runForRequest({}, async () => await get(ambient)),
    );
    await expectUndecided(
      /another service/,
      ambient.context.runForRequest(
        await explicit.requestOf(ALICE),
        async () => await get(ambient),
      ),
    );
    await expectFor(
      ALICE,
      ambient.context.runForRequest(await ambient.requestOf(ALICE), async () => await get(ambient)),
    );
  });

  it('OS-29 is refused in shared work, and made for the user whom the call names', async () => {
    const served = await ambient.requestOf(ALICE);
    const inShared = (fn: () => Promise<unknown>) =>
      ambient.context.runForRequest(served, () => ambient.context.runShared(fn));
    await expectUndecided(
      /runShared\(\)/,
      inShared(async () => await get(ambient)),
    );
    await expectFor(
      BOB,
      inShared(async () => await (await ambient.fetch(wire.url, onBehalfOf(BOB))).text()),
    );
  });

  it('OS-29 is refused without a framework where nothing else decides', async () => {
    const signedFetch = createSignedFetch(ambient.auth);
    await expectUndecided(/no request is being served here/, signedFetch(wire.url));
    await expectFor(ALICE, signedFetch(wire.url, onBehalfOf(ALICE)));
  });
});

describe('ServiceIdentity', () => {
  const send = async (user: ServiceIdentity) =>
    await (await ambient.fetch(wire.url, onBehalfOf(user))).text();

  it('OS-16 is taken as the guard verified it, and a copy of it is not', async () => {
    const identity = await ambient.identityOf(ALICE);
    const copies = [{ ...identity }, structuredClone(identity), { subject: ALICE }];
    for (const copy of copies as ServiceIdentity[]) {
      expect(() => onBehalfOf(copy)).toThrow(TypeError);
      expect(() => ambient.context.runOnBehalfOf(copy, () => 'ran')).toThrow(TypeError);
    }
    await expectFor(ALICE, send(identity));
    expect(ambient.context.runOnBehalfOf(identity, () => 'ran')).toBe('ran');
  });

  it('OS-16 that another service verified is refused, in a call and around it', async () => {
    const [own, foreign] = [await ambient.identityOf(ALICE), await explicit.identityOf(ALICE)];
    await expect(send(foreign)).rejects.toBeInstanceOf(TypeError);
    expect(wire.takeAll()).toEqual([]);
    expect(() => ambient.context.runOnBehalfOf(foreign, () => 'ran')).toThrow(TypeError);
    await expectFor(ALICE, send(own));
    expect(ambient.context.runOnBehalfOf(own, () => 'ran')).toBe('ran');
  });
});

describe('an Observable', () => {
  const create = () => ambient.http.get(wire.url);
  const subscribe = async (call: ReturnType<typeof create>) => await lastValueFrom(call);
  /** Created in a request of Alice. */
  const createdFor = (served: RequestState) => {
    let call: ReturnType<typeof create> | undefined;
    ambient.context.runForRequest(served, () => void (call = create()));
    return call!;
  };

  it('OS-31 is not subscribed to in another request that is being served', async () => {
    const [alice, bob] = [await ambient.requestOf(ALICE), await ambient.requestOf(BOB)];
    const call = createdFor(alice);
    await expectUndecided(
      /another request/,
      ambient.context.runForRequest(bob, async () => await subscribe(call)),
    );
    await expectFor(
      ALICE,
      ambient.context.runForRequest(alice, async () => await subscribe(call)),
    );
  });

  it('OS-31 is not subscribed to where another user is named', async () => {
    const call = createdFor(await ambient.requestOf(ALICE));
    await expectUndecided(
      /another user/,
      ambient.context.runOnBehalfOf(BOB, async () => await subscribe(call)),
    );
    await expectFor(
      ALICE,
      ambient.context.runOnBehalfOf(ALICE, async () => await subscribe(call)),
    );
  });

  it('OS-31 is not subscribed to more than sixty seconds after the answer', async () => {
    const alice = await ambient.requestOf(ALICE);
    const call = createdFor(alice);
    alice.endedAt = performance.now() - 60_001;
    await expectUndecided(/60 seconds/, subscribe(call));
    alice.endedAt = performance.now();
    await expectFor(ALICE, subscribe(call));
  });

  it('OS-31 that was created for nobody is not subscribed to in a request', async () => {
    const options = {
      subjectOutsideRequest: 'act-as-itself',
      subjectPropagation: 'ambient',
    } as const;
    const janitor = await SendingService.start([wire.url], options);
    const context = janitor.context.get(ServiceCallContext, { strict: false });
    const call = janitor.http.get(wire.url);
    const alice = await ambient.requestOf(ALICE);
    await expectUndecided(
      /defer\(/,
      context.runForRequest(alice, async () => await subscribe(call)),
    );
    await expectFor(undefined, subscribe(call));
    await janitor.close();
  });

  it('OS-31 of an instance that was made from one that signs says that it is lost', async () => {
    const made = ambient.http.axiosRef.create();
    const run = async (get: () => Promise<unknown>) =>
      await ambient.context.runOnBehalfOf(ALICE, get);
    await expectUndecided(
      /axios instance was made/,
      run(async () => await made.get(wire.url)),
    );
    await expectFor(
      ALICE,
      run(async () => await ambient.http.axiosRef.get(wire.url)),
    );
  });
});

describe('onBehalfOf() and actingAsItself() on a client that does not sign', () => {
  const WORDS = [
    ['onBehalfOf()', () => onBehalfOfWithAxios(ALICE), ALICE],
    ['actingAsItself()', () => actingAsItself(), undefined],
  ] as const;
  const plainHttp = new HttpService(axiosOfNest.create());

  it.each(WORDS)('OS-30 fail in axios and in fetch: %s', async (_words, options, subject) => {
    const senders = [
      async () => await lastValueFrom(plainHttp.get(wire.url, options())),
      async () => await plainHttp.axiosRef.get(wire.url, options()),
      async () => await axiosOfNest.create().get(wire.url, options()),
      async () => await axiosOfNest.create().get(wire.url, { ...options(), timeout: 1000 }),
    ];
    for (const send of senders) await expect(send()).rejects.toBeInstanceOf(ServiceAuthUsageError);
    const failure = await fetch(wire.url, options() as RequestInit).catch((error: Error) => error);
    // Fetch hides what failed in a dispatcher: it is the cause of the error.
    const { cause = failure } = failure as Error;
    // The fetch of Node is of another realm than the tests, and wraps errors of theirs.
    expect(String(cause)).toContain('ServiceAuthUsageError: Nothing was sent');
    expect(wire.takeAll()).toEqual([]);
    await plainHttp.axiosRef.get(wire.url);
    await (await fetch(wire.url)).text();
    expect(
      wire
        .takeAll()
        .flatMap(({ rawHeaders }) => rawHeaders)
        .join(),
    ).not.toMatch(/eyJ/);
    await expectFor(subject, lastValueFrom(ambient.http.get(wire.url, options())));
    const init = options() as RequestInit;
    await expectFor(subject, ambient.fetch(wire.url, init));
  });

  it('OS-30 fail in a module that imports HttpModule in the place of ServiceHttpModule', async () => {
    const unsigned = await SendingService.start([wire.url], {}, [HttpModule.register({})]);
    await expect(unsigned.send({ url: wire.url })).rejects.toThrow('Import ServiceHttpModule');
    expect(wire.takeAll()).toEqual([]);
    const signed = await SendingService.start([wire.url]);
    await expectFor(FROM_HERALD.subject, signed.send({ url: wire.url }));
    await Promise.all([unsigned.close(), signed.close()]);
  });
});

describe('a service that was closed', () => {
  it('OS-26 signs no more, by axios, by fetch, and by itself', async () => {
    const service = await WholeService.start('explicit');
    const { auth, http, fetch: signedFetch } = service;
    const request = {
      method: 'GET',
      url: wire.url,
      headers: {},
      body: Buffer.of(),
      subject: ALICE,
    };
    const sends = [
      async () => await lastValueFrom(http.get(wire.url, onBehalfOfWithAxios(ALICE))),
      async () => await http.axiosRef.get(wire.url, onBehalfOfWithAxios(ALICE)),
      async () => await (await signedFetch(wire.url, onBehalfOf(ALICE))).text(),
    ];
    for (const send of sends) await expectFor(ALICE, send());
    expect(await auth.sign(request)).toMatch(/^eyJ/);
    await service.close();
    for (const send of sends) expect(await refusalOf(send())).toBe('service_closed');
    expect(await refusalOf(auth.sign(request))).toBe('service_closed');
    expect(wire.takeAll()).toEqual([]);
  });
});
