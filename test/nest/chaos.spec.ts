import { once } from 'node:events';
import { connect } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { editSegment } from '../support/attacks/attempt.js';
import { encode, sha256, strictToken, type StrictTokenParts } from '../support/tokens/forge.js';
import { call } from '../support/http/http.js';
import {
  hang,
  jwkOf,
  type KeyServer,
  type Respond,
  serveKeys,
  serveText,
  startKeyServer,
} from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { CENSUS, closeAfterEach, HERALD } from '../support/services/receiver.js';
import { RECEIVER_PROGRAM, ReceiverProcess } from '../support/processes/receiver-process.js';
import { ADAPTERS } from '../support/services/service.js';

const ANOTHER = 'https://another.service/';
const WAVES = 80;
const PER_WAVE = 16;
/** Another one is another run: `CHAOS_SEED=2`. */
const SEED = Number(process.env['CHAOS_SEED'] ?? 1);

const heraldKey = createKey();
const anotherKey = createKey();
const strangerKey = createKey();
const keep = closeAfterEach();

/** The same numbers from 0 to `below` for the same seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const KEY_FAULTS: readonly (Respond | 'down')[] = [
  serveKeys([jwkOf(anotherKey)]),
  serveText(500, 'oops'),
  serveText(200, '<html>'),
  serveKeys([]),
  hang,
  'down',
];

const TARGET = '/thing/1';
const good = (parts: Partial<StrictTokenParts> = {}): string =>
  strictToken({
    key: heraldKey,
    issuer: HERALD,
    audience: CENSUS,
    target: TARGET,
    now: Math.floor(Date.now() / 1000),
    ...parts,
  });
const ofAnother = (): string => good({ key: anotherKey, issuer: ANOTHER });

/** Each is refused whatever the faults are. */
const BAD: readonly (() => string)[] = [
  () => 'garbage',
  () => `${good()}.x`,
  () => good({ key: { ...strangerKey, keyId: heraldKey.keyId } }),
  () => good({ key: strangerKey }),
  () => good({ issuer: 'https://stranger.service/' }),
  () => good({ audience: HERALD }),
  () => good({ target: '/thing/2' }),
  () => good({ claims: { exp: 1 } }),
  () => good({ claims: { iat: 9e9, exp: 9e9 + 60 } }),
  () => good({ claims: { bdy: sha256('another body') } }),
  () => good({ header: { alg: 'none' } }),
  () => editSegment(good(), 1, (payload) => encode(Buffer.from(payload, 'base64url').reverse())),
  () => editSegment(good(), 2, (signature) => signature.slice(4) + signature.slice(0, 4)),
];

/** Sends a request of whose body half is missing, and goes away. */
async function abort(port: number): Promise<void> {
  const body = JSON.stringify({ name: 'x'.repeat(5000) });
  const contentType = 'application/json';
  const token = good({ method: 'POST', target: '/thing', body, contentType });
  const head = ['POST /thing HTTP/1.1', 'Host: x', `JWT: ${token}`, `Content-Type: ${contentType}`];
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const lines = [...head, `Content-Length: ${body.length}`, '', body.slice(0, 2000)];
  socket.write(lines.join('\r\n'), () => socket.destroy());
  await once(socket, 'close');
}

let project: CompiledProject;
beforeAll(() => {
  project = compileProject([RECEIVER_PROGRAM]);
});
afterAll(() => project.remove());

describe.each(ADAPTERS)('on %s', (adapter) => {
  it(`PF-09 keeps every verdict under faults, and nothing is left uncaught (seed ${SEED})`, async () => {
    const random = randomFrom(SEED);
    const server = keep(await startKeyServer(serveKeys([jwkOf(anotherKey)])));
    const breakKeys = breakerOf(server);
    const receiver = keep(
      await ReceiverProcess.start(project, adapter, [
        { issuer: HERALD, publicKey: heraldKey.publicPem },
        { issuer: ANOTHER, jwksUri: server.url },
      ]),
    );
    const ask = async (token: string): Promise<string> => {
      const { status, code } = await call(receiver.port, {
        target: TARGET,
        headers: { JWT: token },
      });
      if (status === 200) return 'accepted';
      return typeof code === 'string' ? code : `${status}`;
    };
    expect(await ask(ofAnother())).toBe('accepted');

    const used: string[] = [];
    const wrong: string[] = [];
    const counts = { accepted: 1, refused: 0, undecided: 0, aborted: 0 };
    let isStoreBroken = false;

    /** The one answer that is right, where the replay store works. */
    const judge = async (kind: string, token: string, right: RegExp): Promise<void> => {
      const answer = await ask(token);
      const isUndecided = isStoreBroken && answer === 'replay_store_unavailable';
      if (isUndecided && kind !== 'bad') counts.undecided++;
      else if (!right.test(answer)) wrong.push(`${kind}: ${answer}`);
      else if (answer !== 'accepted') counts.refused++;
      else if (isStoreBroken) wrong.push(`${kind}: accepted without a store`);
      else {
        counts.accepted++;
        used.push(token);
      }
    };
    const actions: (() => Promise<unknown>)[] = [
      async () => await judge('good', good(), /^accepted$/),
      async () => await judge('good', good(), /^accepted$/),
      async () => await judge('of another', ofAnother(), /^accepted$/),
      async () => await judge('bad', BAD[random(BAD.length)]?.() ?? '', /^(?!accepted|5)/),
      async () => await judge('bad', BAD[random(BAD.length)]?.() ?? '', /^(?!accepted|5)/),
      async () => {
        const token = good({ key: strangerKey, issuer: ANOTHER });
        await judge('unknown key', token, /^key_(unknown|unavailable)$/);
      },
      async () => {
        const token = used[random(used.length)];
        if (token) await judge('used', token, /^token_replayed$/);
      },
      async () => {
        counts.aborted++;
        await abort(receiver.port);
      },
    ];

    for (let wave = 0; wave < WAVES; wave++) {
      if (wave % 4 === 0) await breakKeys(KEY_FAULTS[random(KEY_FAULTS.length)] ?? hang);
      isStoreBroken = random(4) === 0;
      await receiver.perform({ do: 'break-store', isBroken: isStoreBroken });
      await Promise.all(
        Array.from({ length: PER_WAVE }, async () => await actions[random(actions.length)]?.()),
      );
    }
    isStoreBroken = false;
    await receiver.perform({ do: 'break-store', isBroken: false });
    for (const token of used.slice(0, 50)) await judge('used', token, /^token_replayed$/);
    await judge('good', good(), /^accepted$/);

    expect(wrong).toEqual([]);
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(WAVES / 2);
    let state = await receiver.tell();
    while (state.connections > 0) {
      await turn();
      state = await receiver.tell();
    }
    expect(state.unhandled).toEqual([]);
    expect(state.rememberedUses).toBe(counts.accepted);
  }, 120_000);
});

/** Has a key server fail in one way after the other. */
function breakerOf(server: KeyServer): (fault: Respond | 'down') => Promise<void> {
  let isDown = false;
  return async (fault) => {
    if (isDown && fault !== 'down') await server.resume();
    if (!isDown && fault === 'down') await server.down();
    isDown = fault === 'down';
    if (fault !== 'down') server.respond = fault;
  };
}
