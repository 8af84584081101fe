import { jest } from '@jest/globals';
import {
  createServiceAuth,
  type IncomingRequest,
  type ServiceAuth,
  type ServiceAuthEvent,
  type ServiceAuthObserver,
  type ServiceAuthOptions,
} from 'nestjs-service-auth/core';
import { strictToken } from '../support/tokens/forge.js';
import { createKey } from '../support/keys/keys.js';
import { ObservedEvents } from '../support/observed/observed-events.js';

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const STRANGER = 'https://canary-stranger.service/';
const USER = 'https://census.service/user/canary-subject/';
const key = createKey();
const strangerKey = createKey();

/** A clock that has gone on by 2.5 ms whenever it is read. */
function ticking(): () => number {
  let now = 1000;
  return () => (now += 2.5);
}

const OPTIONS: ServiceAuthOptions = {
  issuer: CENSUS,
  trustedIssuers: [{ issuer: HERALD, publicKey: key.publicPem }],
};
const SENDER: ServiceAuthOptions = {
  issuer: HERALD,
  signingKey: { privateKey: key.privatePem },
  targets: [{ baseUrl: CENSUS }],
};

const services: ServiceAuth[] = [];
afterEach(() => services.splice(0).forEach((service) => service.close()));

async function start(options: Partial<ServiceAuthOptions> = {}): Promise<ServiceAuth> {
  const service = await createServiceAuth({ ...OPTIONS, monotonicNow: ticking(), ...options });
  services.push(service);
  return service;
}

const token = (parts: Partial<Parameters<typeof strictToken>[0]> = {}): string =>
  strictToken({ key, issuer: HERALD, audience: CENSUS, target: '/user', subject: USER, ...parts });

const request = (jwt = token()): IncomingRequest => ({
  method: 'GET',
  target: '/user',
  rawHeaders: ['JWT', jwt],
  body: new Uint8Array(),
});

/** As a host does whose application decides on the caller too. */
async function verifyAndAdmit(service: ServiceAuth, admit: () => Promise<void>): Promise<void> {
  const verification = service.beginVerification();
  try {
    const identity = await verification.prove(request());
    await admit();
    verification.accepted(identity);
  } catch (error) {
    verification.failed(error);
    throw error;
  }
}

const outgoing = { method: 'GET', url: `${CENSUS}user`, headers: {}, body: new Uint8Array() };

describe('a request that comes in', () => {
  it('is told of once it is accepted, without its subject', async () => {
    const events = new ObservedEvents();
    const service = await start({ observer: events });
    await service.verify(request(), undefined, { route: '/user/:id' });
    await service.verify(request(token({ subject: undefined })));
    const accepted = {
      type: 'request_accepted',
      transport: 'http',
      issuer: HERALD,
      audience: CENSUS,
      hasSubject: true,
      algorithm: 'ES256',
      keyId: key.keyId,
      profile: 'strict',
      proof: 'none',
      originator: undefined,
      transaction: undefined,
      proofRefusal: undefined,
      route: '/user/:id',
      durationMilliseconds: 2.5,
    };
    expect(events.decisions).toEqual([
      accepted,
      { ...accepted, hasSubject: false, route: undefined },
    ]);
    expect(JSON.stringify(events.decisions)).not.toContain('canary');
  });

  const REFUSED: [how: string, jwt: string, event: object][] = [
    ['without a token', '', { code: 'token_missing', issuer: undefined, issuerTrust: 'unknown' }],
    [
      'by a stranger',
      token({ issuer: STRANGER, key: strangerKey }),
      { code: 'issuer_unknown', issuer: undefined, issuerTrust: 'unknown' },
    ],
    [
      'by somebody who says to be the herald',
      token({ key: { ...strangerKey, keyId: key.keyId } }),
      { code: 'signature_invalid', issuer: HERALD, issuerTrust: 'claimed' },
    ],
    [
      'by the herald, for another service',
      token({ audience: HERALD }),
      { code: 'audience_mismatch', issuer: HERALD, issuerTrust: 'verified' },
    ],
  ];

  it.each(REFUSED)('is told of when it is refused: %s', async (_how, jwt, event) => {
    const events = new ObservedEvents();
    const service = await start({ observer: events });
    await expect(service.verify(request(jwt))).rejects.toMatchObject({ name: /Refused/ });
    expect(events.decisions).toEqual([
      expect.objectContaining({
        type: 'request_refused',
        transport: 'http',
        status: 401,
        ...event,
      }),
    ]);
    expect(events.of('request_refused')[0]?.durationMilliseconds).toBe(2.5);
    expect(JSON.stringify(events.decisions)).not.toContain('canary');
  });

  it('is told of when it cannot be decided', async () => {
    const events = new ObservedEvents();
    const recordUse = (): never => {
      throw new Error('canary of a store');
    };
    const service = await start({ observer: events, replayStore: { recordUse } });
    await expect(service.verify(request())).rejects.toMatchObject({ status: 503 });
    expect(events.decisions).toMatchObject([
      { type: 'request_refused', code: 'replay_store_unavailable', status: 503, issuer: HERALD },
    ]);
  });

  it.each([
    ['the application', 'admission_error', 'canary', () => Promise.reject(new Error('canary'))],
    ['the clock', 'usage_error', 'no finite number', () => Promise.resolve()],
  ])('is told of when %s fails', async (who, reason, message, admit) => {
    const events = new ObservedEvents();
    const now = () => (who === 'the clock' ? Number.NaN : Date.now());
    const service = await start({ observer: events, now });
    await expect(verifyAndAdmit(service, admit)).rejects.toThrow(message);
    expect(events.decisions).toEqual([
      {
        type: 'request_failed',
        transport: 'http',
        reason,
        route: undefined,
        durationMilliseconds: 2.5,
      },
    ]);
    expect(JSON.stringify(events.decisions)).not.toContain('canary');
  });

  it('is accepted only once the application has admitted it, whose time does not count', async () => {
    const events = new ObservedEvents();
    const service = await start({ observer: events });
    const before: number[] = [];
    const admit = async () => {
      await Promise.resolve();
      before.push(events.decisions.length);
    };
    await verifyAndAdmit(service, admit);
    expect(before).toEqual([0]);
    expect(events.decisions).toMatchObject([{ durationMilliseconds: 2.5 }]);
  });
});

describe('a request that goes out', () => {
  it('is told of once it is signed, and nothing of one that goes out unsigned', async () => {
    const events = new ObservedEvents();
    const service = await start({
      ...SENDER,
      trustedIssuers: undefined,
      unknownTargets: 'send-unsigned',
      observer: events,
    });
    await service.sign({ ...outgoing, subject: USER });
    await service.sign({ ...outgoing, url: STRANGER });
    expect(events.decisions).toEqual([
      {
        type: 'request_signed',
        transport: 'http',
        audience: CENSUS,
        hasSubject: true,
        profile: 'strict',
        durationMilliseconds: 2.5,
      },
    ]);
  });

  it.each([
    ['target_unknown', { url: STRANGER }, undefined],
    ['target_invalid', { url: 'canary' }, undefined],
    ['subject_invalid', { subject: 'canary' }, CENSUS],
  ])('is told of once it is not: %s', async (code, change, audience) => {
    const events = new ObservedEvents();
    const service = await start({ ...SENDER, trustedIssuers: undefined, observer: events });
    const failure = await service.sign({ ...outgoing, ...change }).catch((error: unknown) => error);
    service.noteSigningFailure(failure); // whoever called it may tell it again
    expect(failure).toMatchObject({ code });
    expect(events.decisions).toEqual([
      { type: 'signing_failed', transport: 'http', code, audience, isSentUnsigned: false },
    ]);
  });
});

describe('ServiceAuthObserver', () => {
  const fails = (): never => {
    throw new Error('of the observer');
  };
  const OBSERVERS: [how: string, observer: ServiceAuthObserver][] = [
    ['throws', { observe: fails }],
    ['rejects', { observe: async () => await Promise.reject(new Error('of the observer')) }],
    ['never ends', { observe: async () => await new Promise(() => undefined) }],
    ['answers what cannot be awaited', { observe: () => new Proxy({}, { get: fails }) as never }],
    [
      'changes what it hears',
      { observe: (event) => void Object.assign(event, { type: 'forged' }) },
    ],
  ];

  it.each(OBSERVERS)('that %s changes no decision, and the others hear', async (_how, observer) => {
    const unhandled = jest.fn();
    process.on('unhandledRejection', unhandled);
    const events = new ObservedEvents();
    const service = await start({ observer: [observer, events] });
    const good = token();
    expect(await service.verify(request(good))).toMatchObject({ issuer: HERALD });
    await expect(service.verify(request(good))).rejects.toMatchObject({ code: 'token_replayed' });
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
    expect(events.decisions.map(({ type }) => type)).toEqual([
      'request_accepted',
      'request_refused',
    ]);
  });

  it.each([undefined, []])('that is none costs nothing: %j', async (observer) => {
    const monotonicNow = jest.fn(() => 0);
    const service = await start({ ...SENDER, ...OPTIONS, observer, monotonicNow });
    await service.verify(request());
    await service.sign({ ...outgoing, url: CENSUS }).catch(() => undefined);
    expect(monotonicNow).not.toHaveBeenCalled();
    const heard = await start({ observer: new ObservedEvents(), monotonicNow });
    await heard.verify(request());
    expect(monotonicNow).toHaveBeenCalled();
  });

  it.each([
    ['fails', () => fails()],
    [
      'runs backwards',
      (() =>
        (
          (now) => () =>
            now--
        )(9))(),
    ],
    ['says nothing', () => Number.NaN],
  ])('hears 0 from a clock that %s', async (_how, monotonicNow) => {
    const events = new ObservedEvents();
    const service = await start({ observer: events, monotonicNow });
    await service.verify(request());
    expect(events.decisions).toMatchObject([{ durationMilliseconds: 0 }]);
  });

  it('must be one, and so must each of a list', async () => {
    const observer = [{ observe: (_event: ServiceAuthEvent) => undefined }, {}, 5] as never;
    await expect(start({ observer, monotonicNow: 5 as never })).rejects.toMatchObject({
      problems: [
        'monotonicNow: write a function that answers milliseconds',
        'observer[1]: write an object with a method observe',
        'observer[2]: write an object with a method observe',
      ],
    });
  });
});
