import type { JsonWebKey } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Controller, Get, UseGuards } from '@nestjs/common';
import {
  ServiceAuth,
  ServiceAuthModule,
  ServiceCaller,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import type { ServiceIdentity } from 'nestjs-service-auth';
import { strictToken } from '../support/tokens/forge.js';
import { createKey, type TestKey } from '../support/keys/keys.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const MAX_AGE = 60;
const LIFETIME = 60;
const TOLERANCE = 5;
const CHECK = 1;
/** So many waves of requests are in flight at any time: one begins, and the oldest has ended, each second. */
const WAVES = 4;

const one = createKey();
const two = createKey();
const privateJwk = (key: TestKey): JsonWebKey => key.privateKey.export({ format: 'jwk' });
const publicJwk = (key: TestKey): JsonWebKey => key.publicKey.export({ format: 'jwk' });

@Controller('user')
@UseGuards(ServiceJwtGuard)
class UserController {
  @Get(':id')
  find(@ServiceCaller() caller: ServiceIdentity) {
    return caller.keyId;
  }
}

/** Herald signs and publishes, Census fetches its keys over HTTP, and one clock moves both. */
class TwoServices {
  private readonly folder = mkdtempSync(join(tmpdir(), 'rotation-'));
  private readonly keyFile = join(this.folder, 'ring.json');
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 300 });
  private readonly start = Date.now();
  readonly heraldEvents = new ObservedEvents();
  readonly censusEvents = new ObservedEvents();
  seconds = 0;
  private herald!: TestService;
  private census!: TestService;

  static async start(adapter: Adapter, maxAgeSeconds: number): Promise<TwoServices> {
    const services = new TwoServices();
    services.writeRing({ current: privateJwk(one) });
    await services.startBoth(adapter, maxAgeSeconds);
    return services;
  }

  private readonly now = (): number => this.start + this.seconds * 1000;

  private async startBoth(adapter: Adapter, maxAgeSeconds: number): Promise<void> {
    this.herald = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          signingKey: { keyFile: this.keyFile, checkSeconds: CHECK },
          publishedKeys: { maxAgeSeconds },
          targets: [{ baseUrl: CENSUS }],
          observer: this.heraldEvents,
          now: this.now,
        }),
      ],
    });
    const jwksUri = `${this.herald.url}/.well-known/jwks.json`;
    this.census = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [{ issuer: HERALD, jwksUri }],
          requireKeysAtStart: true,
          observer: this.censusEvents,
          now: this.now,
        }),
      ],
      controllers: [UserController],
    });
  }

  async close(): Promise<void> {
    this.agent.destroy();
    await Promise.all([this.census.close(), this.herald.close()]);
    rmSync(this.folder, { recursive: true });
  }

  /** Replaces the key file, as a deployment does. */
  writeRing(members: Record<string, JsonWebKey>): void {
    writeFileSync(`${this.keyFile}.new`, JSON.stringify(members));
    renameSync(`${this.keyFile}.new`, this.keyFile);
  }

  /** Replaces the key file, and lets seconds pass until Herald has seen it. */
  async rotateTo(members: Record<string, JsonWebKey>): Promise<void> {
    const before = this.heraldEvents.all.length;
    this.writeRing(members);
    while (this.heraldEvents.all.length === before) {
      this.tick();
      // A busy machine gets time to read the file before another second passes.
      for (let turn = 0; turn < 1000 && this.heraldEvents.all.length === before; turn++) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  get keysCensusKnows(): readonly string[] {
    const health = this.census.app.get(ServiceAuth).keyHealth();
    return health.get(HERALD)?.keyIds ?? [];
  }

  /** Moves the clock by a second, and does what both services do every second. */
  tick(): void {
    this.seconds++;
    this.herald.app.get(ServiceAuth).settings.sending?.signingKeys.refreshIfDue();
    const { receiving } = this.census.app.get(ServiceAuth).settings;
    for (const { keys } of receiving?.trustedIssuers.known() ?? []) keys.refreshIfDue();
  }

  /** One call that Herald signs. Answers its status and the key or the code. */
  async call(target: string): Promise<string> {
    const url = CENSUS.slice(0, -1) + target;
    const unsigned = { method: 'GET', url, headers: {}, body: new Uint8Array() };
    const token = await this.herald.app.get(ServiceAuth).sign(unsigned);
    return await this.send(target, token ?? '');
  }

  /** One call with a token that this key signed, whatever Herald does. */
  async callWith(key: TestKey, target: string): Promise<string> {
    const now = Math.floor(this.now() / 1000);
    const token = strictToken({ key, issuer: HERALD, audience: CENSUS, target, now });
    return await this.send(target, token);
  }

  private async send(path: string, token: string): Promise<string> {
    const { agent } = this;
    const { port } = this.census;
    return await new Promise((resolve, reject) => {
      const headers = { JWT: token };
      request({ host: '127.0.0.1', port, agent, path, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => {
          const code = /"code":"(\w+)"/.exec(text)?.[1];
          resolve(`${response.statusCode} ${code ?? text.replaceAll('"', '')}`);
        });
      })
        .on('error', reject)
        .end();
    });
  }

  /** Keeps requests in flight for so many seconds of the clock, and counts the outcomes. */
  async load(
    { seconds, perSecond }: { seconds: number; perSecond: number },
    everySecond: () => Promise<void>,
  ): Promise<Map<string, number>> {
    const waves: Promise<string[]>[] = [];
    for (let wave = 0; wave < seconds; wave++) {
      const calls = Array.from({ length: perSecond }, async (_, at) =>
        this.call(`/user/${wave}-${at}`),
      );
      waves.push(Promise.all(calls));
      await waves.at(-WAVES);
      this.tick();
      await everySecond();
    }
    const outcomes = new Map<string, number>();
    for (const outcome of (await Promise.all(waves)).flat()) {
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    return outcomes;
  }
}

async function withServices(
  adapter: Adapter,
  maxAgeSeconds: number,
  use: (services: TwoServices) => Promise<void>,
): Promise<void> {
  const services = await TwoServices.start(adapter, maxAgeSeconds);
  try {
    await use(services);
  } finally {
    await services.close();
  }
}

describe.each(ADAPTERS)('a rotation on %s', (adapter) => {
  it('that follows the procedure fails no request, and ends with the old key refused', async () => {
    // How long to wait before each step: docs/keys.md.
    const steps: { wait: number; ring: Record<string, JsonWebKey> }[] = [
      { wait: 5, ring: { current: privateJwk(one), next: publicJwk(two) } },
      { wait: MAX_AGE, ring: { previous: publicJwk(one), current: privateJwk(two) } },
      { wait: LIFETIME + TOLERANCE + MAX_AGE, ring: { current: privateJwk(two) } },
    ];
    const known: (readonly string[])[] = [];
    const probes: Promise<{ at: number; outcome: string }>[] = [];
    await withServices(adapter, MAX_AGE, async (services) => {
      let sinceStep = 0;
      const outcomes = await services.load({ seconds: 275, perSecond: 45 }, async () => {
        const at = services.seconds;
        const probe = services.callWith(one, `/user/old-${at}`);
        probes.push(probe.then((outcome) => ({ at, outcome })));
        if (at - sinceStep < (steps[0]?.wait ?? Infinity)) return;
        known.push(services.keysCensusKnows);
        await services.rotateTo(steps.shift()?.ring ?? {});
        sinceStep = services.seconds;
      });

      expect(steps).toEqual([]);
      // Before the next key signs, and before the old one goes, Census knows both.
      expect(known).toEqual([[one.keyId], [one.keyId, two.keyId], [one.keyId, two.keyId]]);
      expect(services.keysCensusKnows).toEqual([two.keyId]);
      expect([...outcomes.keys()].toSorted()).toEqual(
        [`200 ${one.keyId}`, `200 ${two.keyId}`].toSorted(),
      );
      expect([...outcomes.values()].reduce((sum, count) => sum + count)).toBeGreaterThan(10_000);

      const removedAt = sinceStep;
      const answered = await Promise.all(probes);
      const outcomesWhile = (when: (at: number) => boolean): string[] => [
        ...new Set(answered.filter(({ at }) => when(at)).map(({ outcome }) => outcome)),
      ];
      expect(outcomesWhile((at) => at < removedAt - WAVES)).toEqual([`200 ${one.keyId}`]);
      expect(outcomesWhile((at) => at > removedAt + MAX_AGE)).toEqual(['401 key_unknown']);
      expect(services.censusEvents.of('keys_refresh_failed')).toEqual([]);
      // A fetch for every 42 to 54 seconds, and for the old key, once it is unknown, every 30.
      expect(services.censusEvents.of('keys_refreshed').length).toBeLessThanOrEqual(12);
    });
  }, 240_000);

  it('that comes without warning makes requests wait for one fetch, and fails none', async () => {
    await withServices(adapter, 10 * MAX_AGE, async (services) => {
      // Fewer in flight than may wait for a fetch: of more, some would be told to come back.
      const outcomes = await services.load({ seconds: 36, perSecond: 15 }, async () => {
        // Later than the cool-down of 30 seconds, and before the set is fetched anyway.
        if (services.seconds !== 32) return;
        await services.rotateTo({ previous: publicJwk(one), current: privateJwk(two) });
      });
      expect([...outcomes.keys()].toSorted()).toEqual(
        [`200 ${one.keyId}`, `200 ${two.keyId}`].toSorted(),
      );
      expect(services.censusEvents.of('keys_refreshed')).toHaveLength(2);
    });
  }, 240_000);
});
