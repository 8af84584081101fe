import { types } from 'node:util';
import {
  type Algorithm,
  type KeySource,
  type KeySourceHealth,
  ServiceAuthUnavailableError,
  type ServiceAuthObserver,
  tell,
  type VerificationKey,
} from '../core/index.js';
import type { FetchJwkSet, JwkSetReply } from './fetch-jwk-set.js';
import { JwkSetError, readJwkSet } from './jwk-set.js';

/** Between two fetches that an unknown key id or a failure causes. */
const COOL_DOWN_SECONDS = 30;
/** A key server may ask for more time than the cool-down, up to this limit. */
const MAX_RETRY_AFTER_SECONDS = 300;
/** The most requests with an unknown key id that wait for one fetch; others get 503. */
const MAX_WAITING = 64;
/** How long "not changed" is believed before the whole set is fetched: a cache may be wrong forever. */
const WHOLE_SET_SECONDS = 3600;

export interface RemoteKeySourceParts {
  readonly issuer: string;
  readonly algorithms: readonly Algorithm[] | undefined;
  readonly fetchSet: FetchJwkSet;
  /** How long known keys are used while the key server is unreachable. */
  readonly maxStaleSeconds: number;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** 0 to 1, for jitter. */
  readonly random: () => number;
  readonly observer: ServiceAuthObserver;
}

/**
 * The keys that an issuer publishes at a URL. They are fetched in advance and refreshed in the background, so a
 * request waits only if no usable key is known. While the key server is unreachable, known keys are used. After it
 * answers, keys that it no longer lists are refused.
 */
export class RemoteKeySource implements KeySource {
  private keys: ReadonlyMap<string, VerificationKey> = new Map();
  private etag: string | undefined;
  /** When the keys were fetched or confirmed, and when the whole set was fetched. */
  private loadedAt = -Infinity;
  private fetchedWholeAt = -Infinity;
  private freshUntil = -Infinity;
  /** When the next fetch is due; after a failure, when the next one is allowed. */
  private dueAt = -Infinity;
  private attemptedAt = -Infinity;
  private failures = 0;
  private lastError: string | undefined;
  private inFlight: Promise<void> | undefined;
  private waiting = 0;
  private readonly closing = new AbortController();

  constructor(private readonly parts: RemoteKeySourceParts) {}

  find(
    keyId: string | undefined,
  ): VerificationKey | undefined | Promise<VerificationKey | undefined> {
    this.refreshIfDue();
    const key = this.isUsable && !this.isOverdue ? this.pick(keyId) : undefined;
    return key ?? this.findAfterFetch(keyId);
  }

  assertUsable(): void | Promise<void> {
    this.refreshIfDue();
    if (!this.isUsable || this.isOverdue) return this.assertFetched();
  }

  refreshIfDue(): void {
    if (this.parts.now() >= this.dueAt) this.fetch();
  }

  async settled(): Promise<void> {
    this.refreshIfDue();
    await this.inFlight;
  }

  health(): KeySourceHealth {
    const now = this.parts.now();
    const isFresh = now < this.freshUntil;
    const secondsLeft = this.inFlight ? 0 : Math.max(0, Math.round((this.dueAt - now) / 1000));
    return {
      status: this.isUsable ? (isFresh ? 'fresh' : 'stale') : 'unavailable',
      keyIds: [...this.keys.keys()],
      ...(this.keys.size > 0 ? { ageSeconds: Math.round((now - this.loadedAt) / 1000) } : {}),
      ...(this.lastError === undefined ? {} : { lastError: this.lastError }),
      nextRefreshInSeconds: secondsLeft,
    };
  }

  close(): void {
    this.closing.abort();
  }

  private async findAfterFetch(keyId: string | undefined): Promise<VerificationKey | undefined> {
    if (this.isUsable && !this.isOverdue) await this.askForUnknown();
    await this.assertFetched();
    const key = this.pick(keyId);
    // An unreachable server may list the key by now, so this is not decided.
    if (key === undefined && this.failures > 0) throw this.unavailable('the key may be a new one');
    return key;
  }

  private async assertFetched(): Promise<void> {
    if (!this.isUsable || this.isOverdue) await this.inFlight;
    if (!this.isUsable) throw this.unavailable('no key that may be used is known');
  }

  private async askForUnknown(): Promise<void> {
    const isCool = this.parts.now() >= this.attemptedAt + COOL_DOWN_SECONDS * 1000;
    // After a failure the back-off applies, which is as long and was already checked.
    if (isCool && this.failures === 0) this.fetch();
    if (this.inFlight === undefined) return;
    // The running fetch may return the key, so a final refusal would be a guess.
    if (this.waiting >= MAX_WAITING) throw this.unavailable('too many wait for its keys');
    this.waiting++;
    try {
      await this.inFlight;
    } finally {
      this.waiting--;
    }
  }

  private get isUsable(): boolean {
    const staleUntil = this.loadedAt + this.parts.maxStaleSeconds * 1000;
    return this.keys.size > 0 && this.parts.now() < Math.max(staleUntil, this.freshUntil);
  }

  /** The keys are no longer fresh, and no fetch has failed: the process slept, so requests wait for one fetch. */
  private get isOverdue(): boolean {
    return this.failures === 0 && this.parts.now() >= this.freshUntil;
  }

  private pick(keyId: string | undefined): VerificationKey | undefined {
    if (keyId !== undefined) return this.keys.get(keyId);
    const [only] = this.keys.size === 1 ? this.keys.values() : [];
    return only;
  }

  /** Begins a fetch, unless one is running or the source is closed. The promise never rejects. */
  private fetch(): void {
    if (this.closing.signal.aborted) return;
    this.inFlight ??= this.fetchOnce().finally(() => (this.inFlight = undefined));
  }

  private async fetchOnce(): Promise<void> {
    this.attemptedAt = this.parts.now();
    this.dueAt = Infinity; // until the result is known
    try {
      const reply = await this.parts.fetchSet(this.tagToSend, this.closing.signal);
      await this.accept(reply);
    } catch (error) {
      this.noteFailure(error);
    }
  }

  /** Also undefined after a failure: the server may have rejected the tag. */
  private get tagToSend(): string | undefined {
    const isWholeDue = this.parts.now() >= this.fetchedWholeAt + WHOLE_SET_SECONDS * 1000;
    return isWholeDue || this.failures > 0 ? undefined : this.etag;
  }

  private async accept(reply: JwkSetReply): Promise<void> {
    const { issuer, algorithms, observer } = this.parts;
    if (reply.bytes) {
      const { keys, dropped } = await readJwkSet(reply.bytes, algorithms);
      this.keys = keys;
      this.fetchedWholeAt = this.parts.now();
      for (const reason of dropped) tell(observer, { type: 'key_dropped', issuer, reason });
    }
    this.etag = reply.etag;
    this.failures = 0;
    this.lastError = undefined;
    this.loadedAt = this.parts.now();
    this.freshUntil = this.loadedAt + reply.maxAgeSeconds * 1000;
    // Between 70 and 90 % of the time, so that instances that started together drift apart.
    this.dueAt = this.loadedAt + reply.maxAgeSeconds * 1000 * (0.7 + 0.2 * this.parts.random());
    tell(observer, { type: 'keys_refreshed', issuer, keyIds: [...this.keys.keys()] });
  }

  private noteFailure(error: unknown): void {
    this.failures++;
    this.lastError = describe(error);
    const asked = error instanceof JwkSetError ? error.retryAfterSeconds : 0;
    const wait = Math.max(this.backOffSeconds(), Math.min(asked, MAX_RETRY_AFTER_SECONDS));
    this.dueAt = this.parts.now() + wait * 1000 * (1 + 0.2 * this.parts.random());
    if (this.closing.signal.aborted) return;
    tell(this.parts.observer, {
      type: 'keys_refresh_failed',
      issuer: this.parts.issuer,
      reason: this.lastError,
      servingStale: this.isUsable,
    });
  }

  /** Without known keys every request is refused, so the first retries come quickly. */
  private backOffSeconds(): number {
    if (this.isUsable) return COOL_DOWN_SECONDS;
    return Math.min(2 ** (this.failures - 1), COOL_DOWN_SECONDS);
  }

  private unavailable(detail: string): ServiceAuthUnavailableError {
    const seconds = (this.dueAt - this.parts.now()) / 1000;
    return new ServiceAuthUnavailableError('key_unavailable', {
      detail: `${this.parts.issuer}: ${detail}`,
      retryAfterSeconds: Number.isFinite(seconds) ? Math.max(1, seconds) : 1,
    });
  }
}

/** The text for operators. Node puts the reason of a failed fetch into the cause. */
function describe(error: unknown): string {
  if (error instanceof JwkSetError) return error.message;
  const cause: unknown = types.isNativeError(error) ? error.cause : undefined;
  const code: unknown = types.isNativeError(cause) && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string'
    ? `the key server cannot be reached (${code})`
    : 'the fetch failed';
}
