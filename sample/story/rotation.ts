import { SERVICE_URIS } from '../setup/services.js';
import { describe, send } from './http-client.js';
import {
  type KeyRing,
  type NamedJwk,
  switched,
  withdrawn,
  withNext,
  writeKeyRing,
} from './key-ring-file.js';
import type { Narrator } from './narrator.js';
import { SignatureTally } from './signature-tally.js';
import { get, grantFor, sign } from './signed-request.js';
import { logIn, OPERATOR, type Stage, welcome } from './story.js';
import { Traffic } from './traffic.js';

/** Herald lets its keys be kept for 60 seconds. */
const CACHE_PATIENCE_MILLISECONDS = 75_000;
/** By how much the clock of Census may be behind. */
const CLOCK_TOLERANCE_SECONDS = 5;
/** What Herald asks of Census for each of the requests. */
const LOOK_UP = 'GET /user/42/';

/** Herald gets another key while requests go from Edge over another.service and Herald to Census. */
export class Rotation {
  private readonly startedAt = performance.now();
  private readonly tally = new SignatureTally();

  /** @param keyFile what Herald reads its keys from */
  constructor(
    private readonly stage: Stage,
    private readonly keyFile: string,
    private readonly narrator: Narrator,
  ) {
    stage.services.onHop('census', (hop) => {
      if (hop.request === LOOK_UP) this.tally.add(hop);
    });
  }

  /** Three steps; each waits until what the one before it was for has happened. */
  async play(ring: KeyRing): Promise<void> {
    const { narrator } = this;
    narrator.heading('Herald gets another key while 20 requests a second go on');
    narrator.fact('', 'Its tokens live for a minute and so do caches: this takes up to 3 minutes.');
    const { environment } = this.stage;
    const cookie = await logIn(environment);
    const traffic = new Traffic(async () => await welcome(environment, cookie), 201);
    await this.untilSignedWith(ring.current);

    const published = await withNext(ring);
    const { current: old, next } = published;
    this.write('1. publish the next', published);
    await this.untilCensusKnows([old, next]);

    const signing = switched(published);
    this.write('2. sign with it', signing);
    await this.untilSignedWith(next);
    await this.tally.untilExpired(old.kid, CLOCK_TOLERANCE_SECONDS);
    this.tell(`the last token signed with ${nameOf(old)} has expired`);
    await this.show('still published', old, '200');

    this.write('3. withdraw the old', withdrawn(signing));
    await this.untilCensusKnows([next]);
    await traffic.stop();
    await this.show('withdrawn', old, '401 key_unknown');

    this.sumUp(traffic, [old, next]);
  }

  private write(step: string, ring: KeyRing): void {
    writeKeyRing(this.keyFile, ring);
    const keys = Object.entries(ring) as [string, NamedJwk][];
    const names = keys.map(([role, key]) => `${role} ${nameOf(key)}`);
    this.tell(`herald.keys.json: ${names.join(', ')}`, step);
  }

  private async untilSignedWith(key: NamedJwk): Promise<void> {
    const hop = await this.stage.services.nextHop('census', ({ keyId }) => keyId === key.kid);
    this.narrator.check(`Herald should sign with ${nameOf(key)}`, hop?.status === 200);
    this.tell(`Herald signs with ${nameOf(key)}`);
  }

  private async untilCensusKnows(keys: readonly NamedJwk[]): Promise<void> {
    const wanted = keys.map(({ kid }) => kid);
    await this.stage.services.untilKeys(
      'census',
      (known) => isSame(known[SERVICE_URIS.herald] ?? [], wanted),
      CACHE_PATIENCE_MILLISECONDS,
    );
    this.tell(`Census knows ${keys.map(nameOf).join(' and ')}, and no other key of Herald`);
  }

  /** A request to Census in Herald's name, made with the old key by somebody who kept it. */
  private async show(state: string, key: NamedJwk, expected: string): Promise<void> {
    const { environment } = this.stage;
    const answer = await send(
      await sign(get(new URL('user/21/', environment.baseUrls.census).href), {
        issuer: SERVICE_URIS.herald,
        audience: SERVICE_URIS.census,
        privateKey: key,
        grant: await grantFor(OPERATOR, environment.keys),
      }),
    );
    const request = `a new token signed with ${nameOf(key)}, ${state}`;
    this.narrator.exchange(this.elapsed(), request, describe(answer), expected);
  }

  private sumUp({ sent, failed }: Traffic, keys: readonly NamedJwk[]): void {
    const { narrator, tally } = this;
    narrator.heading('Requests');
    narrator.fact('sent', String(sent));
    for (const key of keys) {
      narrator.fact(`signed with ${nameOf(key)}`, String(tally.countOf(key.kid)));
    }
    narrator.fact('failed', String(failed.length));
    narrator.check(`none should fail: ${[...new Set(failed)].join(', ')}`, failed.length === 0);
  }

  private tell(what: string, step = ''): void {
    this.narrator.fact(`${this.elapsed()} ${step}`, what);
  }

  /** Minutes and seconds. */
  private elapsed(): string {
    const seconds = Math.floor((performance.now() - this.startedAt) / 1000);
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  }
}

/** Enough of a key id to tell two apart. */
function nameOf({ kid }: NamedJwk): string {
  return kid.slice(0, 8);
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.toSorted().join() === other.toSorted().join();
}
