import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { ModuleRef, ModulesContainer } from '@nestjs/core';
import { ServiceAuthConfigError } from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';
import {
  dependenciesOf,
  exportersTo,
  type ModuleNode,
  serviceOf,
  sourceFor,
} from './module-graph.js';
import { importsOfClient, isSigningClient } from './signing-client.js';

const TWO_GLOBAL =
  'isGlobal: two ServiceAuthModules are global, so guards and clients everywhere would use the first one. Write isGlobal: false in forRoot() or forRootAsync() of all but one. Keep what it returns in a constant, import that where its guard is used, and give it to its clients: ServiceHttpModule.register({ imports: [...] }), ServiceFetchModule.register({ imports: [...] }).';

const OLD_NEST =
  'isGlobal: a module sees two ServiceAuthModules, and this version of Nest may inject the one that was not imported first. Update @nestjs/core to 11.2.0 or later, or let no module see both: write isGlobal: false for each, and import each only where it is used.';

/**
 * Checks at start that the modules of an application with several services use the service that they import. Checks
 * only this application, not others of the same process.
 */
@Injectable()
export class SeveralServicesCheck implements OnModuleInit {
  /** @throws ServiceAuthConfigError if two services are global */
  constructor(@Inject(ModulesContainer) private readonly modules: ModulesContainer) {
    const global = this.nodes.filter(({ isGlobal }) => isGlobal);
    const services = global.flatMap((node) => exportersTo(node, ServiceAuth, [node]).slice(0, 1));
    if (new Set(services).size > 1) throw new ServiceAuthConfigError([TWO_GLOBAL]);
  }

  /** @throws ServiceAuthConfigError if a client signs for another service than the one that its module imports */
  async onModuleInit(): Promise<void> {
    const problems = this.nodes.flatMap(problemsOfClients);
    if (await this.looksPastTheFirst()) problems.push(OLD_NEST);
    if (problems.length > 0) throw new ServiceAuthConfigError(problems);
  }

  private get nodes(): ModuleNode[] {
    return [...this.modules.values()];
  }

  /** Before 11.2, Nest continues its search if the provider that it finds already has an instance. */
  private async looksPastTheFirst(): Promise<boolean> {
    const node = this.nodes.find((each) => exportersTo(each, ServiceAuth).length > 1);
    const moduleRef: unknown = node?.providers.get(ModuleRef)?.instance;
    if (!node || !(moduleRef instanceof ModuleRef)) return false;
    const { injected } = await moduleRef.create(Probe);
    return injected !== serviceOf(exportersTo(node, ServiceAuth)[0]);
  }
}

/** Receives the service that Nest injects into a module. */
@Injectable()
class Probe {
  constructor(@Inject(ServiceAuth) readonly injected: ServiceAuth) {}
}

function problemsOfClients(node: ModuleNode): string[] {
  const own = sourceFor(node, ServiceAuth);
  const service = serviceOf(own);
  if (!service?.settings.sending) return [];
  const clients = new Set(
    dependenciesOf(node).filter((host) => isSigningClient(host) && !isChosen(host)),
  );
  return [...clients]
    .filter((client) => sourceFor(client, ServiceAuth) !== own)
    .map((client) => {
      const signer = serviceOf(sourceFor(client, ServiceAuth));
      const does = signer
        ? `signs for ${signer.settings.issuer}, whose module is global`
        : 'has no service to sign for';
      return `imports: ${node.name} imports the ServiceAuthModule of ${service.settings.issuer}, and its ${client.name} ${does}. Write ${client.name}.register({ imports: [...] }) with the ServiceAuthModule that is to sign.`;
    });
}

/** Whether the application chose the service for which a client signs. Otherwise the global one signs. */
function isChosen(client: ModuleNode): boolean {
  const source = sourceFor(client, ServiceAuth);
  const local = [...client.imports].filter(({ isGlobal }) => !isGlobal);
  return (
    exportersTo(client, ServiceAuth, local).length > 0 ||
    importsOfClient(client).some((metatype) => metatype === source?.metatype)
  );
}
