import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { KeyHealth } from 'nestjs-service-auth';
import type { DynamicModule } from '@nestjs/common';
import { AppModule as CensusModule } from '../../sample/census/app.module.js';
import { AppModule as EdgeModule } from '../../sample/edge/app.module.js';
import { AppModule as HeraldModule } from '../../sample/herald/app.module.js';
import { ensureKeyFiles } from '../../sample/setup/key-files.js';
import {
  ringOf,
  switched,
  withdrawn,
  withNext,
  writeKeyRing,
} from '../../sample/story/key-ring-file.js';
import { type Mailbox, startMailbox } from '../../sample/story/mailbox.js';
import { grantFor } from '../../sample/story/signed-request.js';
import { forge, md5, strictToken } from '../support/tokens/forge.js';
import { type Answer, call } from '../support/http/http.js';
import { createKey, type TestKey } from '../support/keys/keys.js';
import { startService, type TestService } from '../support/services/service.js';
import { openDoor } from './door.js';
import { type OpenMailQueue, openMailQueue } from './mail-queue-place.js';
import { startWorld, type World } from './world.js';

const HERALD = 'https://herald.service/';
const ANOTHER = 'https://another.service/';
const EDGE = 'https://edge.service/';
const LEGACY = 'https://legacy.service/';
const NOTIFICATION_URI = /^https:\/\/herald\.service\/notification\/([0-9a-f-]{36})\/$/;
const JSON_TYPE = { 'content-type': 'application/json' };
const userUri = (id: string) => `https://census.service/user/${id}/`;

/** What every test starts from: the operator has user 42 welcomed. */
const NEWCOMER = userUri('42');
const OPERATOR = userUri('21');

let keys: string;
let mailbox: Mailbox;
/** A queue from which nobody takes anything. */
let queue: OpenMailQueue;
const heraldKey = createKey();
const anotherKey = createKey();
const edgeKey = createKey();
const legacyKey = createKey();

beforeAll(async () => {
  keys = mkdtempSync(join(tmpdir(), 'sample-story-'));
  saveKey('herald', heraldKey);
  saveKey('another', anotherKey);
  saveKey('edge', edgeKey);
  saveKey('legacy', legacyKey);
  ensureKeyFiles(keys);
  mailbox = await startMailbox();
  queue = await openMailQueue();
});
afterAll(async () => {
  await mailbox.close();
  await queue.close();
  rmSync(keys, { recursive: true });
});

function saveKey(owner: string, key: TestKey): void {
  writeFileSync(join(keys, `${owner}.private.pem`), key.privatePem);
  writeFileSync(join(keys, `${owner}.public.pem`), key.publicPem);
}

/** Asks Another as Edge does, to have `user` welcomed for `as`, who is there. */
async function welcome(
  world: World,
  { user, as }: { user?: unknown; as?: string },
): Promise<Answer> {
  const body = JSON.stringify({ user });
  const request = { method: 'POST', target: '/welcome/', body };
  const { headers, claims } = await proofOf(as ?? OPERATOR);
  const token = strictToken({
    ...request,
    key: edgeKey,
    issuer: EDGE,
    audience: ANOTHER,
    subject: as,
    contentType: 'application/json',
    claims,
  });
  return await call(world.another.port, {
    ...request,
    headers: { ...JSON_TYPE, ...headers, JWT: token },
  });
}

/** What goes along where a user is there: a header, and a claim of the token. */
async function proofOf(user: string) {
  const grant = await grantFor(user, keys);
  const tth = createHash('sha256').update(grant).digest('base64url');
  return { headers: { 'Txn-Token': grant }, claims: { tth } };
}

/** Asks Herald directly, in another.service's name: what its own client would do, and what it would not. */
async function callHerald(
  world: World,
  { method = 'GET', target, body }: { method?: string; target: string; body?: string },
): Promise<Answer> {
  const proof = await proofOf(OPERATOR);
  const token = strictToken({
    key: anotherKey,
    issuer: ANOTHER,
    audience: HERALD,
    subject: OPERATOR,
    method,
    target,
    body,
    contentType: 'application/json',
    claims: proof.claims,
  });
  const headers = { JWT: token, ...proof.headers, ...(body === undefined ? {} : JSON_TYPE) };
  return await call(world.herald.port, { method, target, headers, body });
}

/** Asks Census for user 42 in Herald's name. */
async function callCensusAsHerald(census: TestService): Promise<Answer> {
  const request = { method: 'GET', target: '/user/42/' };
  const proof = await proofOf(OPERATOR);
  const token = strictToken({
    ...request,
    key: heraldKey,
    issuer: HERALD,
    audience: 'https://census.service/',
    subject: OPERATOR,
    claims: proof.claims,
  });
  return await call(census.port, { ...request, headers: { JWT: token, ...proof.headers } });
}

const orderOf = (order: object) => ({
  method: 'POST',
  target: '/notification/',
  body: JSON.stringify(order),
});

describe('the sample', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld(keys, mailbox.url);
  });
  afterAll(() => world.close());

  it('welcomes a user: another -> herald -> census -> courier -> mail', async () => {
    const mailsBefore = mailbox.received.length;
    const answer = await welcome(world, { user: NEWCOMER, as: OPERATOR });
    expect(answer.status).toBe(201);
    expect(answer.headers.location).toMatch(NOTIFICATION_URI);

    const mail = await mailbox.mailAfter(mailsBefore);
    expect(mail).toMatchObject({ from: 'herald@herald.service', to: ['user42@census.service'] });
    expect(mail.message).toMatch(/^Subject: Welcome, Census User\r$/m);
    expect(mail.message).toContain('Hello Census User,');
    expect(mail.message).toContain(NEWCOMER);

    const target = new URL(answer.headers.location ?? '').pathname;
    expect(await callHerald(world, { target })).toMatchObject({
      status: 200,
      json: { uri: answer.headers.location, user: NEWCOMER, type: 'welcome-message' },
    });
  });

  it('does not know a notification that was never sent', async () => {
    expect(await callHerald(world, { target: '/notification/unknown/' })).toMatchObject({
      status: 404,
    });
  });

  it.each([
    ['the operator for a member', '21', '42', 201],
    ['a member for themself', '42', '42', 201],
    ['another member for themself', '7', '7', 201],
    ['a member for another', '7', '42', 403],
    ['a member for a user there is none', '7', '99', 403],
    ['the operator for a user there is none', '21', '99', 404],
    ['a user there is none', '99', '42', 403],
  ])('asked by %s', async (_who, as, user, status) => {
    const mailsBefore = mailbox.received.length;
    const order = { user: userUri(user), as: userUri(as) };
    expect(await welcome(world, order)).toMatchObject({ status });
    if (status === 201) await mailbox.mailAfter(mailsBefore);
    expect(mailbox.received).toHaveLength(mailsBefore + (status === 201 ? 1 : 0));
  });

  const goodOrder = { user: NEWCOMER, type: 'welcome-message' };

  it.each<[string, object, number]>([
    ['as it should be', goodOrder, 201],
    ['with a member more', { ...goodOrder, note: 'x' }, 201],
    ['without user', { type: 'welcome-message' }, 400],
    ['without type', { user: NEWCOMER }, 400],
    ['of another type', { ...goodOrder, type: 'goodbye-message' }, 400],
    ['for a user who is no string', { ...goodOrder, user: { id: 42 } }, 400],
    ['for a user elsewhere', { ...goodOrder, user: 'https://evil.service/user/42/' }, 400],
    ['for a path that climbs', { ...goodOrder, user: 'https://census.service/user/../' }, 400],
    ['for a user with a query', { ...goodOrder, user: `${NEWCOMER}?x=/` }, 400],
    ['that is a list', [goodOrder], 400],
  ])('takes or refuses an order %s', async (_name, order, status) => {
    expect(await callHerald(world, orderOf(order))).toMatchObject({ status });
  });

  it.each<[string, object, number]>([
    ['as it should be', { user: NEWCOMER, as: OPERATOR }, 201],
    ['without user', { as: OPERATOR }, 400],
    ['without anybody to act for', { user: NEWCOMER }, 403],
    ['of a user who is no census user', { user: 'https://evil.service/1/', as: OPERATOR }, 400],
  ])('takes or refuses a welcome %s', async (_name, order, status) => {
    expect(await welcome(world, order)).toMatchObject({ status });
  });

  it('refuses Another, Herald and Census to whoever has no token', async () => {
    const order = { ...orderOf(goodOrder), headers: JSON_TYPE };
    const missing = { status: 401, code: 'token_missing' };
    expect(await call(world.another.port, { ...order, target: '/welcome/' })).toMatchObject(
      missing,
    );
    expect(await call(world.herald.port, order)).toMatchObject(missing);
    expect(await call(world.census.port, { target: '/user/42/' })).toMatchObject(missing);
  });
});

describe('a client of the original format', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld(keys, mailbox.url);
  });
  afterAll(() => world.close());

  const body = JSON.stringify({ user: NEWCOMER, type: 'welcome-message' });
  const claims = { iss: LEGACY, aud: HERALD, sub: OPERATOR, bdy: md5(body) };
  const order = async (headers: Record<string, string>): Promise<Answer> =>
    await call(world.herald.port, {
      method: 'POST',
      target: '/notification/',
      headers: { ...headers, ...JSON_TYPE },
      body,
    });

  it.each([
    ['as published, with the grant of the user', claims, legacyKey, 201, undefined],
    [
      'for another user than the one it may name',
      { ...claims, sub: NEWCOMER },
      legacyKey,
      403,
      'subject_not_allowed',
    ],
    [
      'with the hash of another body',
      { ...claims, bdy: md5(`${body} `) },
      legacyKey,
      401,
      'body_mismatch',
    ],
    ['without a subject', { ...claims, sub: undefined }, legacyKey, 401, 'claim_missing'],
    ['signed with a key of its own making', claims, createKey(), 401, 'signature_invalid'],
    [
      'in the name of a service that speaks strict',
      { ...claims, iss: ANOTHER },
      anotherKey,
      401,
      'header_invalid',
    ],
  ])('%s', async (_name, payload, key, status, code) => {
    const proof = await proofOf(OPERATOR);
    const token = forge({ alg: 'ES256' }, { ...payload, ...proof.claims }, key);
    const answer = await order({ JWT: token, ...proof.headers });
    expect(answer).toMatchObject({ status, code });
    expect(NOTIFICATION_URI.test(answer.headers.location ?? '')).toBe(status === 201);
  });

  it('gets no further than Herald without a grant: Census asks for it', async () => {
    const JWT = forge({ alg: 'ES256' }, claims, legacyKey);
    expect(await order({ JWT })).toMatchObject({
      status: 403,
      json: { message: 'A service that was called does not allow this.' },
    });
  });

  it('may ask Census itself', async () => {
    const token = forge(
      { alg: 'ES256' },
      { iss: LEGACY, aud: 'https://census.service/', sub: OPERATOR },
      legacyKey,
    );
    expect(
      await call(world.census.port, { target: '/user/42/', headers: { JWT: token } }),
    ).toMatchObject({
      status: 200,
      json: { uri: NEWCOMER, name: 'Census User', email: 'user42@census.service' },
    });
  });
});

describe('with something out of reach', () => {
  const order = { user: NEWCOMER, as: OPERATOR };

  it('answers 502 without Census', async () => {
    const world = await startWorld(keys, mailbox.url);
    try {
      expect(await welcome(world, order)).toMatchObject({ status: 201 });
      await world.census.close();
      const direct = await callHerald(world, orderOf({ user: NEWCOMER, type: 'welcome-message' }));
      expect(direct).toMatchObject({ status: 502 });
      expect(await welcome(world, order)).toMatchObject({ status: 502 });
    } finally {
      await world.close();
    }
  });

  it('keeps a mail while there is no mail server, and sends it when there is one', async () => {
    const closed = await startMailbox();
    const world = await startWorld(keys, closed.url);
    try {
      await closed.close();
      expect(await welcome(world, order)).toMatchObject({ status: 201 });
      const opened = await startMailbox(Number(new URL(closed.url).port));
      expect(await opened.mailAfter(0)).toMatchObject({ to: ['user42@census.service'] });
      await opened.close();
      expect(opened.received).toHaveLength(1);
    } finally {
      await world.close();
    }
  });

  it('keeps a mail while there is no courier, and sends it when there is one', async () => {
    const world = await startWorld(keys, mailbox.url);
    try {
      await world.courier.close();
      const mailsBefore = mailbox.received.length;
      expect(await welcome(world, order)).toMatchObject({ status: 201 });
      await world.startCourier();
      await mailbox.mailAfter(mailsBefore);
      expect(mailbox.received).toHaveLength(mailsBefore + 1);
    } finally {
      await world.close();
    }
  });
});

describe('the published keys', () => {
  it('are found by Census though Herald starts later', async () => {
    const door = await openDoor('turned-away');
    const baseUrls = {
      census: '',
      edge: '',
      herald: door.url,
      another: door.url,
      courier: '',
    };
    const services: TestService[] = [];
    const start = async (module: DynamicModule): Promise<TestService> => {
      const service = await startService({ adapter: 'express', imports: [module] });
      services.push(service);
      return service;
    };
    try {
      const edge = await start(EdgeModule.register({ baseUrls, keys }));
      baseUrls.edge = `${edge.url}/`;
      baseUrls.courier = door.url;
      const census = await start(CensusModule.register({ baseUrls, keys }));
      baseUrls.census = `${census.url}/`;
      const unavailable = { status: 503, code: 'key_unavailable' };
      expect(await callCensusAsHerald(census)).toMatchObject(unavailable);

      const herald = await start(HeraldModule.register({ baseUrls, keys, mailQueue: queue.place }));
      door.leadTo(herald.app.getHttpServer() as Server);
      while (census.app.get(KeyHealth).unavailable().length > 0) await sleep(50);
      const user = { status: 200, json: { uri: NEWCOMER } };
      expect(await callCensusAsHerald(census)).toMatchObject(user);
    } finally {
      await Promise.all(services.map((service) => service.close()));
      await door.close();
    }
  });

  it('are those of the file that Herald is given, and of what replaces it', async () => {
    const heraldKeyFile = join(keys, 'herald.keys.json');
    const ring = await ringOf(heraldKey.privatePem);
    writeKeyRing(heraldKeyFile, ring);
    const nowhere = 'http://127.0.0.1:9/';
    const baseUrls = {
      census: nowhere,
      herald: nowhere,
      another: nowhere,
      edge: nowhere,
      courier: nowhere,
    };
    const herald = await startService({
      adapter: 'express',
      imports: [HeraldModule.register({ baseUrls, keys, heraldKeyFile, mailQueue: queue.place })],
    });
    const published = async () =>
      (await call(herald.port, { target: '/.well-known/jwks.json' })).json as { keys: object[] };
    try {
      expect(await published()).toEqual({
        keys: [expect.objectContaining({ kid: heraldKey.keyId })],
      });
      const both = await withNext(ring);
      writeKeyRing(heraldKeyFile, both);
      while ((await published()).keys.length < 2) await sleep(50);
      const text = JSON.stringify(await published());
      expect(text).toContain(both.next.kid);
      expect(text).not.toContain('"d":');
    } finally {
      await herald.close();
      rmSync(heraldKeyFile);
    }
  });

  it('go from next to current to previous in the file, and the private half is not kept', async () => {
    const ring = await ringOf(heraldKey.privatePem);
    const published = await withNext(ring);
    const signing = switched(published);
    const { d, ...publicHalf } = ring.current;
    expect(typeof d).toBe('string');
    expect(published).toEqual({ current: ring.current, next: published.next });
    expect(signing).toEqual({ previous: publicHalf, current: published.next });
    expect(withdrawn(signing)).toEqual({ current: published.next });
  });
});

describe('the key files', () => {
  it('are made once, and kept', () => {
    const directory = join(keys, 'made');
    expect(ensureKeyFiles(directory)).toEqual([
      'census',
      'herald',
      'another',
      'edge',
      'courier',
      'legacy',
    ]);
    const read = () =>
      readdirSync(directory).map((file) => [file, readFileSync(join(directory, file), 'utf8')]);
    const made = read();
    expect(made.map(([file]) => file)).toEqual([
      'another.private.pem',
      'another.public.pem',
      'census.private.pem',
      'census.public.pem',
      'courier.private.pem',
      'courier.public.pem',
      'edge.private.pem',
      'edge.public.pem',
      'herald.private.pem',
      'herald.public.pem',
      'legacy.private.pem',
      'legacy.public.pem',
    ]);
    expect(ensureKeyFiles(directory)).toEqual([]);
    expect(read()).toEqual(made);

    rmSync(join(directory, 'herald.public.pem'));
    expect(ensureKeyFiles(directory)).toEqual([]);
    expect(read()).toEqual(made);
  });

  it('are for their owner alone where they are private', () => {
    const directory = join(keys, 'modes');
    ensureKeyFiles(directory);
    for (const file of readdirSync(directory)) {
      const form = file.endsWith('.private.pem')
        ? { mode: 0o600, begin: '-----BEGIN PRIVATE KEY-----' }
        : { mode: 0o644, begin: '-----BEGIN PUBLIC KEY-----' };
      expect(readFileSync(join(directory, file), 'utf8')).toContain(form.begin);
      expect(statSync(join(directory, file)).mode & 0o777 & ~form.mode).toBe(0);
    }
  });
});
