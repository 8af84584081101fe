import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { createSlot } from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';
import { isSigningClient } from './signing-client.js';

/** Whether an `HttpService` signs, or has signed: `ServiceSigningInterceptor.attach()` was given it. */
export const IS_ATTACHED = createSlot<true>();

/**
 * Warns at start if a service has `targets`, and its `HttpService` does not sign the requests to them. If there is
 * any signing client, the others may be for servers that use no tokens.
 */
@Injectable()
export class UnsignedClientsWarning implements OnApplicationBootstrap {
  constructor(
    @Inject(ModulesContainer) private readonly modules: ModulesContainer,
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
  ) {}

  onApplicationBootstrap(): void {
    const { sending, issuer } = this.serviceAuth.settings;
    if (!sending || sending.targets.length === 0) return;
    const nodes = [...this.modules.values()];
    if (nodes.some(isSigningClient)) return;
    const clients = nodes.flatMap((node) =>
      [...node.providers.values()]
        .filter(({ token, instance }) => isHttpService(token, instance))
        .map(({ instance }) => ({ module: node.name, instance: instance as object })),
    );
    const [first] = clients;
    if (!first || clients.some(({ instance }) => IS_ATTACHED.get(instance))) return;
    new Logger('ServiceAuth').warn(
      `${issuer} has targets, and the HttpService of ${first.module} sends requests to them without a token. Import ServiceHttpModule of nestjs-service-auth/axios instead of ${first.module}: imports: [ServiceHttpModule.register()].`,
    );
  }
}

/** Recognises it by its name and its client, since this module does not import @nestjs/axios. */
function isHttpService(token: unknown, instance: unknown): boolean {
  if (typeof token !== 'function' || token.name !== 'HttpService') return false;
  return typeof instance === 'object' && instance !== null && 'axiosRef' in instance;
}
