import { randomUUID } from 'node:crypto';
import { types } from 'node:util';
import {
  type IssuerDirectory,
  isServiceUri,
  type KeyFetchSettings,
  ServiceAuthConfigError,
  ServiceAuthUnavailableError,
  tell,
  type TrustedIssuer,
  type TrustedIssuerFinder,
  type TrustedIssuerOptions,
  withinDeadline,
} from '../core/index.js';
import { BoundedDigests, digestOf } from './bounded-digests.js';
import { LookUpPlaces } from './look-up-places.js';
import { labelOf } from './signing-key-origin.js';

/** How long a found issuer is trusted, and after which time it is looked up again meanwhile. */
const TRUSTED_SECONDS = 60;
const ASK_AGAIN_SECONDS = 45;
const UNKNOWN_SECONDS = 10;
/** Between a failed look-up and the next one. Meanwhile the known answer counts. */
const RETRY_SECONDS = 5;
/** An issuer that has not called for this time is forgotten, and its keys are no longer fetched. */
const IDLE_SECONDS = 3600;
const DEADLINE_MILLISECONDS = 3000;
const MAX_NOES = 10_000;
const FAILED = 'the look-up of the issuer failed';

interface Found {
  readonly trusted: TrustedIssuer;
  /** The options of its keys: equal options keep the same keys. */
  readonly keyOptions: string;
  readonly foundAt: number;
  askAgainAt: number;
  trustedUntil: number;
  /** Whether the last look-up failed. */
  isFailing: boolean;
}

interface No {
  readonly until: number;
  /** True if the issuer is not trusted; false if the look-up failed. */
  readonly isDecided: boolean;
}

/**
 * Looks issuers up when they call. It keeps answers, and also noes, though fewer and for less time. So neither a busy
 * caller nor a flood of invented names becomes a load on the finder.
 */
export class FoundIssuers implements IssuerDirectory {
  private readonly found = new Map<string, Found>();
  /** By digests of issuers; the oldest is dropped first. */
  private readonly noes = new Map<string, No>();
  private readonly lookups = new Map<string, Promise<TrustedIssuer | undefined>>();
  private readonly places = new LookUpPlaces();
  private readonly toldOriginal = new BoundedDigests();
  private isClosed = false;
  /** Whether the last look-up failed. */
  private isFailing = false;

  constructor(
    private readonly finder: TrustedIssuerFinder,
    private readonly resolve: (options: TrustedIssuerOptions) => Promise<TrustedIssuer>,
    private readonly common: KeyFetchSettings,
  ) {}

  find(issuer: string): TrustedIssuer | undefined | Promise<TrustedIssuer | undefined> {
    const now = this.common.steadyNow();
    const known = this.found.get(issuer);
    if (known && now < known.trustedUntil) {
      if (now >= known.askAgainAt) this.lookUp(issuer).catch(() => undefined);
      return known.trusted;
    }
    // The finder cannot return such an issuer: its answers are checked like options.
    if (!isServiceUri(issuer)) return undefined;
    const no = this.noes.get(digestOf(issuer));
    if (no === undefined || now >= no.until) return this.lookUp(issuer);
    return no.isDecided ? undefined : fail(FAILED);
  }

  *known(): Iterable<TrustedIssuer> {
    const idleSince = this.common.steadyNow() - IDLE_SECONDS * 1000;
    for (const [issuer, { trusted, askAgainAt }] of this.found) {
      if (askAgainAt >= idleSince) yield trusted;
      else this.drop(issuer);
    }
  }

  close(): void {
    this.isClosed = true;
    for (const { trusted } of this.found.values()) trusted.keys.close();
  }

  private lookUp(issuer: string): Promise<TrustedIssuer | undefined> {
    const underWay = this.lookups.get(issuer);
    if (underWay) return underWay;
    const release = this.places.take(issuer) ?? fail('too many look-ups at once');
    const lookup = this.ask(issuer).finally(() => {
      release();
      this.lookups.delete(issuer);
    });
    this.lookups.set(issuer, lookup);
    return lookup;
  }

  private async ask(issuer: string): Promise<TrustedIssuer | undefined> {
    try {
      const options = await this.askFinder(issuer);
      if (options) return await this.remember(issuer, options);
      this.drop(issuer);
      this.note(issuer, { isDecided: true, until: this.in(UNKNOWN_SECONDS) });
      return undefined;
    } catch (cause) {
      const known = this.serveOn(issuer, cause);
      if (known) return known;
      this.note(issuer, { isDecided: false, until: this.in(RETRY_SECONDS) });
      return fail(FAILED, cause);
    }
  }

  private async askFinder(issuer: string): Promise<TrustedIssuerOptions | null | undefined> {
    try {
      const answer = Promise.resolve(this.finder.find(issuer));
      const options = await withinDeadline(DEADLINE_MILLISECONDS, answer);
      if (this.isFailing) tell(this.common.observer, { type: 'issuer_look_up_recovered' });
      this.isFailing = false;
      return options;
    } catch (error) {
      this.noteFailure(error);
      throw error;
    }
  }

  private noteFailure(error: unknown): void {
    if (this.isFailing) return;
    this.isFailing = true;
    const reason = `the finder of trustedIssuers failed (${labelOf(error)})`;
    tell(this.common.observer, { type: 'issuer_look_up_failed', reason });
  }

  private async remember(issuer: string, options: TrustedIssuerOptions): Promise<TrustedIssuer> {
    if (options.issuer !== issuer) throw new TypeError('the finder answered with another issuer');
    const keyOptions = textOfKeys(options);
    const resolved = await this.resolve(options);
    const known = this.found.get(issuer);
    const keepsKeys = known?.keyOptions === keyOptions;
    (keepsKeys ? resolved : known?.trusted)?.keys.close();
    const trusted = keepsKeys ? { ...resolved, keys: known.trusted.keys } : resolved;
    if (this.isClosed) trusted.keys.close(); // the look-up was running
    this.noes.delete(digestOf(issuer));
    this.places.keepFor(issuer);
    this.tellOriginal(trusted);
    this.found.set(issuer, {
      trusted: Object.freeze(trusted),
      keyOptions,
      foundAt: this.in(0),
      askAgainAt: this.in(ASK_AGAIN_SECONDS),
      trustedUntil: this.in(TRUSTED_SECONDS),
      isFailing: false,
    });
    if (known?.isFailing) this.tellRecovered(trusted);
    return trusted;
  }

  /** Fetched keys report their own recovery. */
  private tellRecovered({ issuer, keys }: TrustedIssuer): void {
    const { status, keyIds } = keys.health();
    if (status !== 'static' && status !== 'fresh') return;
    tell(this.common.observer, { type: 'keys_refreshed', issuer, keyIds });
  }

  /** Once for each issuer: at start there is no list of issuers to warn of. */
  private tellOriginal({ issuer, profile }: TrustedIssuer): void {
    if (profile !== 'original' || this.toldOriginal.has(issuer)) return;
    this.toldOriginal.add(issuer);
    tell(this.common.observer, { type: 'original_issuer_found', issuer });
  }

  private note(issuer: string, no: No): void {
    const digest = digestOf(issuer);
    this.noes.delete(digest);
    this.noes.set(digest, no);
    const [oldest] = this.noes.size > MAX_NOES ? this.noes.keys() : [];
    if (oldest !== undefined) this.noes.delete(oldest);
  }

  private drop(issuer: string): void {
    this.found.get(issuer)?.trusted.keys.close();
    this.found.delete(issuer);
  }

  /** A trusted issuer stays trusted while the finder fails, as long as known keys may be used. */
  private serveOn(issuer: string, cause: unknown): TrustedIssuer | undefined {
    const known = this.found.get(issuer);
    if (!known) return undefined;
    const staleUntil = known.foundAt + this.common.maxStaleSeconds * 1000;
    known.trustedUntil = Math.max(known.trustedUntil, staleUntil);
    known.askAgainAt = this.in(RETRY_SECONDS);
    known.isFailing = true;
    const servingStale = this.common.steadyNow() < known.trustedUntil;
    const reason = cause instanceof ServiceAuthConfigError ? cause.problems.join('; ') : FAILED;
    tell(this.common.observer, { type: 'keys_refresh_failed', issuer, reason, servingStale });
    return servingStale ? known.trusted : undefined;
  }

  private in(seconds: number): number {
    return this.common.steadyNow() + seconds * 1000;
  }
}

/** Key objects have no text to compare, so answers that contain one are never equal. */
function textOfKeys({ publicKey, keys, jwksUri, algorithms }: TrustedIssuerOptions): string {
  return JSON.stringify([publicKey, keys, jwksUri, algorithms], (_name, value: unknown) =>
    types.isKeyObject(value) || types.isCryptoKey(value) ? randomUUID() : value,
  );
}

function fail(detail: string, cause?: unknown): never {
  throw new ServiceAuthUnavailableError('key_unavailable', {
    detail,
    cause,
    retryAfterSeconds: RETRY_SECONDS,
  });
}
