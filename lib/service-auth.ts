import {
  type AnsweredMessage,
  type AnswerSigner,
  type CallTransport,
  flushObserver,
  type GrantOptions,
  type IncomingMessage,
  type IncomingRequest,
  type IssuedGrant,
  type KeySource,
  type KeySourceOptions,
  type KeySourceHealth,
  type MessageTarget,
  type OriginateCall,
  type OutgoingMessage,
  type OutgoingRequest,
  type PublishedKey,
  Receiver,
  type ReceivingSettings,
  type RequestVerification,
  resolveSettings,
  type RoutePolicy,
  Sender,
  type SendingSettings,
  ServiceAuthConfigError,
  type ServiceAuthObserver,
  type ServiceAuthOptions,
  type ServiceAuthSettings,
  ServiceAuthUnavailableError,
  type ServiceIdentity,
  type SignedMessage,
  type SigningTarget,
  tell,
  transportOf,
  type VerificationOptions,
} from './core/index.js';
import { FoundIssuers } from './keys/found-issuers.js';
import { createKeySource } from './keys/key-source.js';
import { createSigningKeySource } from './keys/signing-key-source.js';
import { MemoryReplayStore } from './replay/memory-replay-store.js';

/** A JWK Set: RFC 7517 section 5. */
export interface JwkSet {
  readonly keys: readonly PublishedKey[];
}

/** The interval between checks whether keys are due. */
const REFRESH_MILLISECONDS = 1000;

/** The options that a framework adds to the verification of a request. */
export interface VerifyOptions {
  /**
   * The pattern of the route, such as `/users/:id`, for the event. Never the path itself: there is no limit to paths.
   */
  readonly route?: string | undefined;
  /**
   * `report`: observers are called with `request_would_be_refused` instead of `request_refused`, and the use of the
   * token is recorded separately. `verify()` still throws: catch the error, and serve the request without an
   * identity. Default `enforce`.
   */
  readonly enforcement?: 'enforce' | 'report';
}

/** One configured service: it signs outgoing requests, and verifies received ones. */
export class ServiceAuth {
  private timer: NodeJS.Timeout | undefined;
  /** The keys of services that answer messages, by their names. */
  private readonly answerers = new Map<string, KeySource>();
  private readonly sender: Sender;
  private readonly receiver: Receiver;

  /** Do not call it: `createServiceAuth()` creates a service, and `ServiceAuthModule` provides one. */
  constructor(settings: never);
  /** @internal */
  constructor(settings: ServiceAuthSettings);
  constructor(/** @internal */ readonly settings: ServiceAuthSettings) {
    this.sender = new Sender(settings);
    this.receiver = new Receiver(settings);
  }

  /**
   * Signs an outgoing request exactly as it is when this is called. Changes while the request waits for its signature
   * do not get into the token. Concurrent calls are signed in their order, for up to 3 ms in each turn of the event
   * loop. Observers are called with `request_signed` or `signing_failed`, but not for a request that goes out
   * unsigned.
   *
   * @returns the value of the `JWT` header; undefined if the request must be sent without one. Then the URL belongs
   *   to no target and `unknownTargets` is `send-unsigned`, or signing failed and the target's `signing` is
   *   `best-effort`
   * @throws ServiceSigningError with a code of `SIGNING_FAILURES`: after `close()`, `service_closed`
   * @throws ServiceAuthUsageError for a request that is not an {@link OutgoingRequest}, such as one with a body of
   *   text
   */
  sign(request: OutgoingRequest): Promise<string | undefined> {
    return this.sender.sign(request);
  }

  /**
   * Signs a message that is about to be sent over a broker, or a job that is about to be queued. Observers are called with
   * `request_signed` or `signing_failed`.
   *
   * @param target whom it is for; a topic only with `EMIT`
   * @returns the value of the header `JWT`, and the id that a signed answer refers to
   * @throws ServiceSigningError with a code of `SIGNING_FAILURES`
   */
  signMessage(message: OutgoingMessage, target: MessageTarget): Promise<SignedMessage> {
    return this.sender.signMessage(message, target);
  }

  /**
   * Calls `work` when signatures are made, at the end of this turn of the event loop or of a later one, outside the
   * caller's async context. It must not throw.
   *
   * @internal
   */
  whenSigning(work: () => void): void {
    this.sender.whenSigning(work);
  }

  /**
   * As {@link signMessage}, but at once: in {@link whenSigning}.
   *
   * @throws ServiceSigningError with a code of `SIGNING_FAILURES`
   * @internal
   */
  signMessageNow(message: OutgoingMessage, target: MessageTarget): Promise<SignedMessage> {
    return this.sender.signMessageNow(message, target);
  }

  /**
   * Signs the parts of the answer to a message.
   *
   * @throws ServiceSigningError `sending_disabled`, `service_closed`
   * @internal
   */
  answerSigner(message: AnsweredMessage): AnswerSigner {
    return this.sender.answerSigner(message);
  }

  /**
   * Makes a grant: this service vouches that a user is there. Send it in the header `Txn-Token` of calls that are made for
   * that user, and give it to `sign()`. Observers are called with `grant_issued`. This method knows of no request: in a Nest
   * application, call `ServiceGrants.issue()`, which refuses where the caller is a service.
   *
   * @returns the value of the header
   * @throws ServiceSigningError `originate_refused`; `sending_disabled`, `service_closed`
   */
  async issueGrant(subject: string, options: GrantOptions = {}): Promise<string> {
    return await this.originate(subject, options).text;
  }

  /**
   * Makes a grant and signs it later in this turn of the event loop. For the library's own call context.
   *
   * @throws ServiceSigningError `originate_refused`, `sending_disabled`, `service_closed`
   * @internal
   */
  originate(subject: string, options: OriginateCall): IssuedGrant {
    return this.sender.issueGrant(subject, options);
  }

  /**
   * Calls observers with the reason why a call was not signed. For clients that sign with `targetOf(url)`, and with
   * `transport` for those that sign with `signMessage()`.
   * Repeated calls with the same error report it once.
   */
  noteSigningFailure(
    error: unknown,
    target?: Pick<SigningTarget, 'audience' | 'signing'> & { readonly transport?: CallTransport },
  ): void {
    this.sender.noteFailure(error, target);
  }

  /**
   * The configured target of a URL, which signs requests to that URL; undefined if the URL has no target and
   * `unknownTargets` is `send-unsigned`.
   *
   * @throws ServiceSigningError `target_unknown`, `target_invalid`, `sending_disabled`
   */
  targetOf(url: string | URL): SigningTarget | undefined {
    return this.sender.targetOf(url);
  }

  /**
   * The sending half of the settings.
   *
   * @throws ServiceSigningError `sending_disabled` if there is none
   * @internal
   */
  get sending(): SendingSettings {
    return this.sender.sending;
  }

  /**
   * Verifies a received request. On return the request is the one that its issuer signed, its token was not used
   * before, and it satisfies `policy`. Observers are called with one event: `request_accepted`, `request_refused` or
   * `request_failed`.
   *
   * @throws ServiceTokenRefusedError with a code of `REFUSALS`
   * @throws ServiceAuthUnavailableError `key_unavailable`, `replay_store_unavailable`
   * @throws ServiceAuthUsageError in a service without `trustedIssuers`, and for a request that is not an
   *   {@link IncomingRequest}, such as one with a parsed body
   */
  async verify(
    request: IncomingRequest,
    policy?: RoutePolicy,
    options: VerifyOptions = {},
  ): Promise<ServiceIdentity> {
    const verification = this.beginVerification(options);
    try {
      const identity = await verification.prove(request, policy);
      verification.accepted(identity);
      return identity;
    } catch (error) {
      verification.failed(error);
      throw error;
    }
  }

  /**
   * Verifies a message or job that was received: on return it is what its issuer signed, its use is recorded, and it
   * satisfies `policy`. For code that reads a broker without Nest; where the broker delivers again, a message that failed
   * after this is refused when it comes again.
   *
   * @throws ServiceTokenRefusedError, ServiceAuthUnavailableError as {@link verify}
   * @throws ServiceAuthUsageError in a service without `trustedIssuers`
   */
  async verifyMessage(
    message: IncomingMessage,
    policy: RoutePolicy = {},
    options: VerifyOptions = {},
  ): Promise<ServiceIdentity> {
    const transport = transportOf(message.verb);
    const verification = this.beginVerification({ ...options, transport });
    try {
      const terms = { policy, space: message.verb, replay: 'record' } as const;
      const { identity } = await verification.proveMessage(message, terms);
      verification.accepted(identity);
      return identity;
    } catch (error) {
      verification.failed(error);
      throw error;
    }
  }

  /**
   * Begins to verify a request that the application decides on too: it calls `prove()`, looks up its user, and then calls
   * `accepted(identity)` or `failed(error)`. Observers get no event before that.
   *
   * @throws ServiceAuthUsageError in a service without `trustedIssuers`
   * @internal
   */
  beginVerification(options: VerificationOptions = {}): RequestVerification {
    return this.receiver.begin(options);
  }

  /**
   * The receiving half of the settings.
   *
   * @throws ServiceAuthUsageError if there is none
   * @internal
   */
  get receiving(): ReceivingSettings {
    return this.receiver.receiving;
  }

  /** This service's public keys as a JWK Set; undefined if it publishes none. */
  publishedKeys(): JwkSet | undefined {
    const { sending } = this.settings;
    return sending?.publishedKeys && { keys: sending.signingKeys.published() };
  }

  /**
   * The keys of a service whose answers to messages are verified: those given, else those of the trusted issuer of this
   * name, else those it publishes. They are kept fresh from now on.
   *
   * @throws ServiceAuthConfigError with `field: what to write`
   * @internal
   */
  async keysOfAnswerer(options: KeySourceOptions): Promise<KeySource> {
    const { issuer, publicKey, keys, jwksUri } = options;
    const { receiving, keyFetch } = this.settings;
    const isGiven = publicKey !== undefined || keys !== undefined || jwksUri !== undefined;
    const trusted = [...(receiving?.trustedIssuers.known() ?? [])].find(
      (each) => each.issuer === issuer,
    );
    if (trusted && !isGiven) return trusted.keys;
    const observer = ofAnswers(keyFetch.observer);
    const source = await createKeySource(options, { ...keyFetch, observer });
    this.answerers.get(issuer)?.close();
    this.answerers.set(issuer, source);
    source.refreshIfDue();
    return source;
  }

  /** How the keys of each issuer stand. */
  keyHealth(): ReadonlyMap<string, KeySourceHealth> {
    return new Map([...this.keySources()].map(({ issuer, keys }) => [issuer, keys.health()]));
  }

  /** Originators, then trusted issuers: for a service in both lists the latter counts. */
  private *keySources(): Iterable<{ readonly issuer: string; readonly keys: KeySource }> {
    const { receiving } = this.settings;
    yield* receiving?.grants?.originators.values() ?? [];
    yield* receiving?.trustedIssuers.known() ?? [];
    for (const [issuer, keys] of this.answerers) yield { issuer, keys };
  }

  /**
   * Starts the replay store, and begins to fetch keys in the background. With `requireKeysAtStart` it waits until
   * every issuer has keys.
   *
   * @throws ServiceAuthUnavailableError `key_unavailable`, naming the issuers without keys;
   *   `replay_store_unavailable`, if the store must be reachable at start
   * @internal `createServiceAuth()` calls it.
   */
  async start(): Promise<void> {
    this.refreshKeys();
    this.timer ??= setInterval(() => this.refreshKeys(), REFRESH_MILLISECONDS).unref();
    const { receiving, observer } = this.settings;
    try {
      await receiving?.replayStore.start?.(observer);
      if (receiving?.requireKeysAtStart) await this.assertKeys();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  private async assertKeys(): Promise<void> {
    await Promise.all([...this.keySources()].map(({ keys }) => keys.settled()));
    const without = [...this.keyHealth()].filter(([, { status }]) => status === 'unavailable');
    if (without.length === 0) return;
    throw new ServiceAuthUnavailableError('key_unavailable', {
      detail: without.map(([issuer, { lastError }]) => `${issuer}: ${lastError}`).join('; '),
    });
  }

  /** Ends work in the background. Afterwards the service signs nothing. */
  close(): void {
    this.sender.close();
    clearInterval(this.timer);
    this.settings.sending?.signingKeys.close();
    for (const { keys } of this.settings.receiving?.grants?.originators.values() ?? [])
      keys.close();
    this.settings.receiving?.trustedIssuers.close();
    for (const keys of this.answerers.values()) keys.close();
    this.settings.receiving?.replayStore.close?.(this.settings.observer);
    flushObserver(this.settings.observer);
  }

  private refreshKeys(): void {
    this.settings.sending?.signingKeys.refreshIfDue();
    for (const { keys } of this.keySources()) keys.refreshIfDue();
  }
}

/**
 * Creates a service: resolves the options, provides every port, and begins to fetch keys. `close()` ends it.
 *
 * @throws ServiceAuthConfigError listing every problem, each as `field: what to write`
 * @throws ServiceAuthUnavailableError `key_unavailable` with `requireKeysAtStart`
 */
export async function createServiceAuth(options: ServiceAuthOptions): Promise<ServiceAuth> {
  const settings = await resolveSettings(options, (keyFetch) => ({
    createKeySource: async (issuer) => await createKeySource(issuer, keyFetch),
    createSigningKeySource: async (key) =>
      await createSigningKeySource(key, { observer: keyFetch.observer, now: keyFetch.steadyNow }),
    createIssuerDirectory: (finder, resolve) => new FoundIssuers(finder, resolve, keyFetch),
    createReplayStore: () => new MemoryReplayStore(),
  }));
  assertMessagesFitMemory(settings);
  const serviceAuth = new ServiceAuth(settings);
  await serviceAuth.start();
  return serviceAuth;
}

/** How long messages may live whose uses are remembered in the memory of a process. */
const LONGEST_IN_MEMORY_SECONDS = 3600;

/** @throws ServiceAuthConfigError where a restart would forget more than an hour of messages and jobs */
function assertMessagesFitMemory({ receiving }: ServiceAuthSettings): void {
  if (!receiving || !(receiving.replayStore instanceof MemoryReplayStore)) return;
  const seconds = receiving.maxMessageLifetimeSeconds;
  if (seconds <= LONGEST_IN_MEMORY_SECONDS) return;
  throw new ServiceAuthConfigError([
    `maxMessageLifetimeSeconds: write ${LONGEST_IN_MEMORY_SECONDS} or less, or give replayStore a RedisReplayStore: the memory of a process forgets used messages at a restart (it is ${seconds})`,
  ]);
}

/** Events of keys that verify answers say so: their service is perhaps not trusted to call. */
function ofAnswers(observer: ServiceAuthObserver): ServiceAuthObserver {
  return {
    observe: (event) => {
      const isOfKeys = event.type === 'keys_refreshed' || event.type === 'keys_refresh_failed';
      tell(observer, isOfKeys ? { ...event, areOfAnswers: true } : event);
    },
  };
}
