import {
  findTarget,
  type IncomingRequest,
  type OutgoingRequest,
  type ReceivingSettings,
  resolveSettings,
  type RoutePolicy,
  type SendingSettings,
  type ServiceAuthOptions,
  type ServiceAuthSettings,
  ServiceAuthUsageError,
  type ServiceIdentity,
  ServiceSigningError,
  signRequest,
  type Target,
  verifyRequest,
} from './core/index.js';
import { createStaticKeySource } from './keys/static-key-source.js';
import { createStaticSigningKeySource } from './keys/static-signing-key-source.js';
import { MemoryReplayStore } from './replay/memory-replay-store.js';

/** Both paths of one configured service: a request going out, a request coming in. */
export class ServiceAuth {
  constructor(readonly settings: ServiceAuthSettings) {}

  /**
   * Signs a request that is about to be sent, exactly as it is.
   *
   * @returns the value of the `JWT` header; undefined when the URL belongs to no target and
   *   `unknownTargets` is `send-unsigned`
   * @throws ServiceSigningError with a code of `SIGNING_FAILURES`
   */
  async sign(request: OutgoingRequest): Promise<string | undefined> {
    const target = this.targetOf(request.url);
    const { issuer, now } = this.settings;
    return target && (await signRequest(request, target, this.sending, { issuer, now }));
  }

  /**
   * The configured target a URL belongs to; undefined when it belongs to none and `unknownTargets` is
   * `send-unsigned`.
   *
   * @throws ServiceSigningError `target_unknown`, `target_invalid`, `sending_disabled`
   */
  targetOf(url: string | URL): Target | undefined {
    return findTarget(url, this.sending);
  }

  /** The sending half of the settings. @throws ServiceSigningError `sending_disabled` where there is none */
  get sending(): SendingSettings {
    const { sending } = this.settings;
    if (sending) return sending;
    throw new ServiceSigningError('sending_disabled');
  }

  /**
   * Verifies a request that was received. On return it is what its issuer signed, was not seen
   * before, and satisfies `policy`.
   *
   * @throws ServiceTokenRefusedError with a code of `REFUSALS`
   * @throws ServiceAuthUnavailableError `key_unavailable`, `replay_store_unavailable`
   * @throws ServiceAuthUsageError in a service without `trustedIssuers`
   */
  async verify(request: IncomingRequest, policy?: RoutePolicy): Promise<ServiceIdentity> {
    return await verifyRequest(request, this.receiving, this.settings.now, policy);
  }

  /** The receiving half of the settings. @throws ServiceAuthUsageError where there is none */
  get receiving(): ReceivingSettings {
    const { receiving } = this.settings;
    if (receiving) return receiving;
    throw new ServiceAuthUsageError(
      'This service has no `trustedIssuers`, so it cannot verify requests: name the services that may call.',
    );
  }
}

/**
 * Puts a service together: resolves the options and fills every port.
 *
 * @throws ServiceAuthConfigError listing every problem, each as `field: what to write`
 */
export async function createServiceAuth(options: ServiceAuthOptions): Promise<ServiceAuth> {
  const settings = await resolveSettings(options, {
    createKeySource: createStaticKeySource,
    createSigningKeySource: createStaticSigningKeySource,
    createReplayStore: () => new MemoryReplayStore(),
  });
  return new ServiceAuth(settings);
}
