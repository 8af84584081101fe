import { randomUUID } from 'node:crypto';
import { RmqContext } from '@nestjs/microservices';
import {
  createServiceAuth,
  MemoryReplayStore,
  type ReplayStore,
  type ServiceAuth,
  ServiceAuthUsageError,
} from 'nestjs-service-auth/core';
import {
  type MessageEndpoint,
  MessageDelivery,
} from '../../../lib/nest/messages/message-delivery.js';
import {
  MessageReception,
  type MessageReceptionOptions,
} from '../../../lib/nest/messages/message-reception.js';
import { ReceivedMessage } from '../../../lib/nest/messages/received-message.js';
import { receivingTransport } from '../../../lib/nest/messages/receiving-transports.js';
import { createKey } from '../../support/keys/keys.js';
import { forge, sha256 } from '../../support/tokens/forge.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const key = createKey();
const RABBITMQ = receivingTransport(5);

const services: ServiceAuth[] = [];
afterAll(() => services.forEach((each) => each.close()));

async function createCensus(
  replayStore: ReplayStore = new MemoryReplayStore(),
  reception: MessageReceptionOptions = {},
): Promise<ServiceAuth> {
  const service = await createServiceAuth({
    issuer: CENSUS,
    trustedIssuers: [{ issuer: HERALD, publicKey: key.publicPem }],
    replayStore,
  });
  services.push(service);
  MessageReception.define(service, reception);
  return service;
}

function tokenOf(verb: 'SEND' | 'EMIT'): string {
  const iat = Math.floor(Date.now() / 1000);
  const req = `${verb} user`;
  const claims = { iss: HERALD, aud: CENSUS, iat, exp: iat + 60, jti: randomUUID(), req };
  const header = { alg: key.algorithm, kid: key.keyId, typ: 'msg+jwt' };
  return forge(header, { ...claims, bdy: sha256('1') }, key);
}

/** A delivery of RabbitMQ with these headers. */
function deliver(
  headers: Record<string, unknown>,
  endpoint: Partial<MessageEndpoint> = {},
): { delivery: MessageDelivery; received: ReceivedMessage } {
  if (!RABBITMQ) throw new Error('RabbitMQ is no transport');
  const context = new RmqContext([{ properties: { headers } }, {}, 'user']);
  const delivery = new MessageDelivery(
    {
      hasSeveralHandlers: false,
      pattern: 'user',
      isEvent: true,
      transport: RABBITMQ,
      group: undefined,
      isFanOut: false,
      isRedelivered: true,
      prefetchCount: 1,
      isAcknowledgedUnread: false,
      ...endpoint,
    },
    context,
  );
  return { delivery, received: new ReceivedMessage(delivery, 1, false) };
}

async function prove(census: ServiceAuth, received: ReceivedMessage): Promise<unknown> {
  received.beginVerification(census, false);
  const verification = census.beginVerification({ route: received.route });
  return await received.prove(received.toVerify(), {}, verification);
}

const request = { isEvent: false, isRedelivered: false } as const;

describe('a delivery', () => {
  it('MS-08 of an event that another one holds is busy, and of one that was handled, dropped', async () => {
    const census = await createCensus();
    const JWT = tokenOf('EMIT');
    const first = deliver({ JWT });
    await expect(prove(census, first.received)).resolves.toMatchObject({ issuer: HERALD });
    await expect(prove(census, deliver({ JWT }).received)).rejects.toMatchObject({
      code: 'message_busy',
    });
    await first.delivery.claim?.commit();
    const again = deliver({ JWT });
    await expect(prove(census, again.received)).rejects.toMatchObject({ code: 'token_replayed' });
    expect(again.delivery.refused).toBe('drop');
  });

  it('MS-08 that was released is handled again', async () => {
    const census = await createCensus();
    const JWT = tokenOf('EMIT');
    const first = deliver({ JWT });
    await prove(census, first.received);
    await first.delivery.claim?.release();
    await expect(prove(census, deliver({ JWT }).received)).resolves.toBeDefined();
  });

  it.each([
    [true, 'drop'],
    [false, undefined],
  ])(
    'MS-08 that several consumers get (%s) is dropped the second time: %s',
    async (isFanOut, refused) => {
      const census = await createCensus();
      const JWT = tokenOf('SEND');
      await prove(census, deliver({ JWT }, { ...request, isFanOut }).received);
      const { delivery, received } = deliver({ JWT }, { ...request, isFanOut });
      await expect(prove(census, received)).rejects.toMatchObject({ code: 'token_replayed' });
      expect(delivery.refused).toBe(refused);
    },
  );

  it('MS-40 that is acknowledged unread is for services that say so', async () => {
    const unread = { isRedelivered: false, isAcknowledgedUnread: true };
    const careful = await createCensus();
    const lost = prove(careful, deliver({ JWT: tokenOf('EMIT') }, unread).received);
    await expect(lost).rejects.toThrow(/forgets each event for "user" before its handler has run/);
    const careless = await createCensus(new MemoryReplayStore(), { delivery: 'at-most-once' });
    const served = prove(careless, deliver({ JWT: tokenOf('EMIT') }, unread).received);
    await expect(served).resolves.toBeDefined();
  });

  it('MS-40 needs a store that reserves, if it is delivered again', async () => {
    const census = await createCensus({ recordUse: () => 'first' });
    const event = prove(census, deliver({ JWT: tokenOf('EMIT') }).received);
    await expect(event).rejects.toThrow(/^The replayStore has no reserve\(\)/);
    const sent = prove(census, deliver({ JWT: tokenOf('SEND') }, request).received);
    await expect(sent).resolves.toBeDefined();
  });

  it.each<[what: string, more: MessageReceptionOptions, problem: RegExp | undefined]>([
    ['nothing', {}, undefined],
    ['the same', { delivery: 'at-most-once' }, undefined],
    ['another option', { leaseSeconds: 5 }, undefined],
    ['another delivery', { delivery: 'at-least-once' }, /forRoot\.delivery: write it once/],
  ])(
    'MS-56 is received as one module says, where another one says %s',
    async (_, more, problem) => {
      const census = await createCensus(new MemoryReplayStore(), { delivery: 'at-most-once' });
      const define = (): void => MessageReception.define(census, more);
      if (problem) expect(define).toThrow(problem);
      else define();
      const { isAtMostOnce, leaseMilliseconds } = MessageReception.of(census);
      expect([isAtMostOnce, leaseMilliseconds]).toEqual([true, (more.leaseSeconds ?? 30) * 1000]);
    },
  );

  it.each([
    [false, true],
    [true, false],
  ])('MS-57 is for each replica (%s) as all its handlers say: %s', (isForEach, isAgreed) => {
    const { received } = deliver({});
    const assert = (): void => received.assertConsumer(isForEach);
    if (isAgreed) expect(assert).not.toThrow();
    else expect(assert).toThrow(/write the same @EventConsumer\(\) on all of them/);
  });

  it('MS-40 needs the module, and a service that has begun', async () => {
    const census = await createCensus();
    const { received } = deliver({ JWT: tokenOf('EMIT') });
    expect(() => received.beginVerification({}, false)).toThrow(ServiceAuthUsageError);
    const verification = census.beginVerification({});
    const proved = received.prove(received.toVerify(), {}, verification);
    await expect(proved).rejects.toThrow(/^No service has begun/);
  });

  it('MS-03 has one token, however its name is spelled', async () => {
    const census = await createCensus();
    const [JWT, jwt] = [tokenOf('SEND'), tokenOf('SEND')];
    const both = prove(census, deliver({ JWT, jwt }, request).received);
    await expect(both).rejects.toMatchObject({ code: 'token_repeated' });
    await expect(prove(census, deliver({ jwt }, request).received)).resolves.toBeDefined();
  });

  it('MS-02 loses its token and its grant before handlers see it', async () => {
    const headers = { JWT: tokenOf('SEND'), 'Txn-Token': 'x', other: 'kept' };
    const { received } = deliver(headers, request);
    received.removeToken();
    expect(headers).toEqual({ other: 'kept' });
    await expect(prove(await createCensus(), received)).resolves.toBeDefined();
  });

  it('MS-08 ends where it is refused: again if it is undecided and an event, otherwise nowhere', async () => {
    const census = await createCensus();
    const JWT = tokenOf('EMIT');
    await prove(census, deliver({ JWT }).received);
    const endOf = async (headers: Record<string, unknown>, endpoint = {}): Promise<unknown> => {
      const { delivery, received } = deliver(headers, endpoint);
      const error: unknown = await prove(census, received).catch((thrown: unknown) => thrown);
      received.refuse(error as Parameters<ReceivedMessage['refuse']>[0]);
      return delivery.refused;
    };
    expect(await endOf({ JWT })).toBe('requeue');
    expect(await endOf({})).toBe('dead-letter');
    expect(await endOf({}, request)).toBe('dead-letter');
  });
});
