import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { JsonWebKey } from 'node:crypto';
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
import type { TestKey } from '../keys/keys.js';
import { ObservedEvents } from '../observed/observed-events.js';
import { strictToken } from '../tokens/forge.js';
import { type Adapter, startService, type TestService } from './service.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const CHECK = 1;
/** So many waves of requests are in flight at any time: one begins, and the oldest has ended, each second. */
export const WAVES = 4;

@Controller('user')
@UseGuards(ServiceJwtGuard)
class UserController {
  @Get(':id')
  find(@ServiceCaller() caller: ServiceIdentity) {
    return caller.keyId;
  }
}

/** Herald signs and publishes, Census fetches its keys over HTTP, and one clock moves both. */
export class RotatingServices {
  private readonly folder = mkdtempSync(join(tmpdir(), 'rotation-'));
  readonly keyFile = join(this.folder, 'herald.pem');
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 300 });
  private readonly start = Date.now();
  readonly heraldEvents = new ObservedEvents();
  readonly censusEvents = new ObservedEvents();
  seconds = 0;
  private herald!: TestService;
  private census!: TestService;

  static async start(
    adapter: Adapter,
    maxAgeSeconds: number,
    keyText: string,
  ): Promise<RotatingServices> {
    const services = new RotatingServices();
    writeFileSync(services.keyFile, keyText, { mode: 0o600 });
    await services.startBoth(adapter, maxAgeSeconds);
    return services;
  }

  readonly now = (): number => this.start + this.seconds * 1000;

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
    const { jwksUri } = this;
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

  /** Where Herald publishes its keys. */
  get jwksUri(): string {
    return `${this.herald.url}/.well-known/jwks.json`;
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
