import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { ServiceAuth } from '../service-auth.js';
import { type ModuleNode, serviceOf, sourceFor } from './module-graph.js';
import { MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import type { ServiceAuthModuleOptions } from './service-auth.options.js';
import { isSigningClient } from './signing-client.js';

/** By name, since their packages are optional. */
const MODULES_OF_MESSAGES: ReadonlySet<string> = new Set([
  'ServiceMessagesModule',
  'ServiceJobsModule',
]);

/**
 * Warns at start if a service has a `signingKey` and no `targets`, and either calls over HTTP nevertheless, or signs
 * nothing at all. A service that wrote a list, be it `[]`, has decided.
 */
@Injectable()
export class MissingTargetsWarning implements OnApplicationBootstrap {
  private readonly isDecided: boolean;

  constructor(
    @Inject(ModulesContainer) private readonly modules: ModulesContainer,
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
    @Inject(MODULE_OPTIONS_TOKEN) { targets }: ServiceAuthModuleOptions,
  ) {
    this.isDecided = targets !== undefined;
  }

  onApplicationBootstrap(): void {
    const { sending, issuer } = this.serviceAuth.settings;
    if (!sending || this.isDecided) return;
    const nodes = [...this.modules.values()];
    const client = nodes.find((node) => isSigningClient(node) && this.isUsedBy(node));
    if (client) {
      new Logger('ServiceAuth').warn(
        `${issuer} has no targets, so every request of ${client.name} fails with target_unknown. Name the services that it calls: targets: [{ baseUrl }].`,
      );
    } else if (!sending.originate && !nodes.some(isOfMessages)) {
      new Logger('ServiceAuth').warn(
        `${issuer} has a signingKey, and signs nothing: it has no targets, and imports neither ServiceMessagesModule nor ServiceJobsModule. Name the services that it calls: targets: [{ baseUrl }]. If it calls nobody, remove signingKey, or write targets: [].`,
      );
    }
  }

  private isUsedBy(node: ModuleNode): boolean {
    return serviceOf(sourceFor(node, ServiceAuth)) === this.serviceAuth;
  }
}

function isOfMessages({ metatype }: ModuleNode): boolean {
  return MODULES_OF_MESSAGES.has(metatype.name);
}
