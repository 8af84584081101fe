import {
  type PublishedKey,
  ServiceAuthConfigError,
  type ServiceAuthObserver,
  type SigningKey,
  type SigningKeySource,
  tell,
  withinDeadline,
} from '../core/index.js';
import {
  isFileOptions,
  labelOf,
  originOfFile,
  originOfFunction,
  type RingOptions,
  type SigningKeyOrigin,
} from './signing-key-origin.js';
import { readSigningKeyRing, type SigningKeyRing } from './signing-key-ring.js';

export interface SigningKeySourceParts {
  readonly observer: ServiceAuthObserver;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

/** For one read. A vault that never answers must not stop the search for new keys. */
const DEADLINE_SECONDS = 10;

/**
 * The keys with which this service signs and that it publishes: from the options, a file, or a function. The first
 * read must succeed. Later an unusable key is reported, and the previous one stays.
 *
 * @throws ServiceAuthConfigError listing every problem, without any key material in it
 */
export async function createSigningKeySource(
  options: unknown,
  parts: SigningKeySourceParts,
): Promise<SigningKeySource> {
  if (typeof options === 'function') {
    return await startReloading(originOfFunction(options as () => Promise<RingOptions>), parts);
  }
  if (isFileOptions(options)) return await startReloading(originOfFile(options), parts);
  const ring = await readSigningKeyRing(options as RingOptions);
  return {
    current: () => ring.current,
    published: () => ring.published,
    refreshIfDue: () => undefined,
    close: () => undefined,
  };
}

async function startReloading(
  origin: SigningKeyOrigin,
  parts: SigningKeySourceParts,
): Promise<SigningKeySource> {
  const { options, version } = await loadInTime(origin, undefined);
  const ring = await readRingOf(origin, options as RingOptions);
  return new ReloadingSigningKeySource({ ring, version }, origin, parts);
}

/** Reports problems of the key in a file under `keyFile`, the option in the configuration. */
async function readRingOf(origin: SigningKeyOrigin, options: RingOptions): Promise<SigningKeyRing> {
  try {
    return await readSigningKeyRing(options);
  } catch (error) {
    const { file } = origin;
    if (!(error instanceof ServiceAuthConfigError) || file === undefined) throw error;
    const inFile = (_: string, verb?: string) => `keyFile: ${file}${verb ? ` ${verb}` : ': '}`;
    throw new ServiceAuthConfigError(
      error.problems.map((problem) => problem.replace(/^privateKey: (is |has )?/, inFile)),
    );
  }
}

async function loadInTime(
  origin: SigningKeyOrigin,
  version: string | undefined,
): ReturnType<SigningKeyOrigin['load']> {
  const late = `privateKey: nothing came within ${DEADLINE_SECONDS} seconds`;
  return await withinDeadline(
    DEADLINE_SECONDS * 1000,
    origin.load(version),
    () => new ServiceAuthConfigError([late]),
  );
}

/** Looks for new keys at intervals. Requests never wait for it. */
class ReloadingSigningKeySource implements SigningKeySource {
  private dueAt: number;
  private isReloading = false;
  private isClosed = false;
  private lastTrouble: string | undefined;
  private ring: SigningKeyRing;
  private version: string | undefined;

  constructor(
    loaded: { readonly ring: SigningKeyRing; readonly version: string | undefined },
    private readonly origin: SigningKeyOrigin,
    private readonly parts: SigningKeySourceParts,
  ) {
    this.ring = loaded.ring;
    this.version = loaded.version;
    this.dueAt = this.nextDueAt();
  }

  current(): SigningKey {
    return this.ring.current;
  }

  published(): readonly PublishedKey[] {
    return this.ring.published;
  }

  refreshIfDue(): void {
    if (this.isReloading || this.isClosed || this.parts.now() < this.dueAt) return;
    void this.reload();
  }

  close(): void {
    this.isClosed = true;
  }

  private async reload(): Promise<void> {
    this.isReloading = true;
    try {
      const { options, version } = await loadInTime(this.origin, this.version);
      if (options !== undefined) this.accept(await readRingOf(this.origin, options));
      this.version = version;
      this.lastTrouble = undefined;
    } catch (error) {
      this.noteTrouble(error);
    } finally {
      this.dueAt = this.nextDueAt();
      this.isReloading = false;
    }
  }

  private nextDueAt(): number {
    return this.parts.now() + this.origin.checkSeconds * 1000;
  }

  private accept(ring: SigningKeyRing): void {
    if (this.isClosed || nameOf(ring) === nameOf(this.ring)) return;
    this.ring = ring;
    tell(this.parts.observer, {
      type: 'signing_keys_changed',
      keyId: ring.current.keyId,
      publishedKeyIds: ring.published.map(({ kid }) => kid),
    });
  }

  private noteTrouble(error: unknown): void {
    const reason = describe(error);
    if (this.isClosed || reason === this.lastTrouble) return; // reported once, not every few seconds
    this.lastTrouble = reason;
    tell(this.parts.observer, { type: 'signing_keys_unusable', reason });
  }
}

/** Identifies a ring. */
function nameOf({ current, published }: SigningKeyRing): string {
  return JSON.stringify([current.keyId, current.algorithm, published]);
}

/** Only words of this library, names and codes of errors: error messages might quote a key. */
function describe(error: unknown): string {
  if (error instanceof ServiceAuthConfigError) return error.problems.join('; ');
  return `the key cannot be read (${labelOf(error)})`;
}
