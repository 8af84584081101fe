import { setTimeout as sleep } from 'node:timers/promises';
import { ConflictException } from '@nestjs/common';
import { jwksUriAt } from '../../setup/environment.js';
import { readFileSync } from 'node:fs';
import { SERVICE_URIS } from '../../setup/services.js';
import {
  type KeyRing,
  type NamedJwk,
  switched,
  withdrawn,
  withNext,
  writeKeyRing,
} from '../../story/key-ring-file.js';
import { OPERATOR, type Stage } from '../../story/story.js';
import { exchange } from '../exchange.js';
import type { Forger } from '../forger.js';
import type { StoryService } from '../story.service.js';
import type { Step } from '../steps.js';
import { type Outcome, outcomeOf, outcomeOfStory, type SwitchResult } from './outcome.js';

/** Herald lets its keys be kept for 60 seconds. A busy machine takes longer. */
const CACHE_PATIENCE_MILLISECONDS = 150_000;
/** Herald reads its file every second. */
const LOOK_EVERY_MILLISECONDS = 300;
const MOST_LOOKS = 200;

/** `one`: one key; `published`: the next key too; `signing`: the next key signs, the old one is published. */
export type RotationPhase = 'one' | 'published' | 'signing';

interface Parts {
  readonly stage: Stage;
  readonly forger: Forger;
  readonly stories: StoryService;
}

/** The three steps of a rotation of Herald's key. */
export class RotationSwitch {
  private at: RotationPhase = 'one';
  /** With its private half, which the ring no longer has. */
  private old: NamedJwk | undefined;

  constructor(private readonly parts: Parts) {}

  get phase(): RotationPhase {
    return this.at;
  }

  async publish(): Promise<SwitchResult> {
    const { file, ring } = this.expect('one');
    const published = await withNext(ring);
    writeKeyRing(file, published);
    await this.untilPublished(published.next.kid);
    this.at = 'published';
    const title = `The next call: Herald signs with ${nameOf(ring.current)} still`;
    const told = `Herald publishes ${nameOf(published.next)} beside ${nameOf(ring.current)}.`;
    return { told, outcomes: [await this.story(title)] };
  }

  async switch(): Promise<SwitchResult> {
    const { file, ring } = this.expect('published');
    const { current, next } = ring;
    if (!next) throw new ConflictException('The key ring has no next key.');
    await this.untilCensus((known) => known.includes(next.kid));
    writeKeyRing(file, switched({ current, next }));
    this.old = current;
    this.at = 'signing';
    const first = await this.storySignedWith(next.kid);
    return {
      told: `Census knew ${nameOf(next)} before Herald signs with it, so no call fails.`,
      outcomes: [first, await this.signedWithOld('A token that the old key signed')],
    };
  }

  async withdraw(): Promise<SwitchResult> {
    const { file, ring } = this.expect('signing');
    const { kid } = ring.current;
    writeKeyRing(file, withdrawn(ring));
    await this.untilCensus((known) => known.join() === kid);
    this.at = 'one';
    const refused = await this.signedWithOld('A new token that a thief signs with the old key');
    return {
      told: `Herald publishes ${nameOf(ring.current)} alone, and Census has fetched that.`,
      outcomes: [refused, await this.story(`The next call: signed with ${nameOf(ring.current)}`)],
    };
  }

  private expect(phase: RotationPhase): { file: string; ring: KeyRing } {
    const file = this.parts.stage.keyRing;
    if (file === undefined) {
      throw new ConflictException('HERALD_KEY_FILE is set: rotate that file yourself.');
    }
    if (this.at !== phase) throw new ConflictException('Take the steps in their order.');
    return { file, ring: JSON.parse(readFileSync(file, 'utf8')) as KeyRing };
  }

  private async untilPublished(kid: string): Promise<void> {
    const { baseUrls } = this.parts.stage.environment;
    await until('Herald does not publish the key: is it stopped?', async () => {
      const response = await fetch(jwksUriAt(baseUrls.herald)).catch(() => undefined);
      return response?.ok === true && (await response.text()).includes(kid);
    });
  }

  private async untilCensus(knows: (keyIds: readonly string[]) => boolean): Promise<void> {
    await this.parts.stage.services.untilKeys(
      'census',
      (keys) => knows(keys[SERVICE_URIS.herald] ?? []),
      CACHE_PATIENCE_MILLISECONDS,
    );
  }

  private async story(title: string): Promise<Outcome> {
    return outcomeOfStory(title, await this.parts.stories.play(OPERATOR));
  }

  private async storySignedWith(kid: string): Promise<Outcome> {
    let outcome: Outcome | undefined;
    await until('Herald does not sign with the key: is a service stopped?', async () => {
      outcome = await this.story(`The next call: Herald signs with ${kid.slice(0, 8)}`);
      return outcome.steps?.some((step) => keyIdOf(step) === kid) === true;
    });
    if (!outcome) throw new ConflictException('Nothing was sent.');
    return outcome;
  }

  private async signedWithOld(title: string): Promise<Outcome> {
    const { forger } = this.parts;
    const request = await forger.heraldForOperator(this.old);
    const original = await forger.heraldForOperator();
    return outcomeOf(title, await exchange({ ...request, original }));
  }
}

function keyIdOf({ from, token }: Step): unknown {
  return from === 'herald' ? token?.header?.['kid'] : undefined;
}

/** @throws ConflictException with this message when it does not become so */
async function until(message: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
    if (await isSo()) return;
    await sleep(LOOK_EVERY_MILLISECONDS, undefined, { ref: false });
  }
  throw new ConflictException(message);
}

/** Enough of a key id to tell two apart. */
function nameOf({ kid }: NamedJwk): string {
  return kid.slice(0, 8);
}
