import {
  Inject,
  Injectable,
  type InjectionToken,
  type OnModuleInit,
  Optional,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import {
  type KeySource,
  type KeySourceOptions,
  MESSAGE_CLIENT_OPTIONS,
  OptionReader,
  ProblemList,
  readClientTarget,
  shown,
} from '../../core/index.js';
import { ServiceCallContext } from '../../for-whom/service-call.context.js';
import { ServiceAuth } from '../../service-auth.js';
import { missingServiceAuth } from '../missing-service-auth.js';
import { noteSigning, SIGNS_OTHERWISE } from '../signed-once.js';
import type { ClientSigner } from './message-subject.js';
import { type SendingTransport, sendingTransport } from './sending-transports.js';
import { signClient } from './signed-client.js';

export const MESSAGE_CLIENTS = Symbol('MESSAGE_CLIENTS');

/** A client of a broker that signs, and the service that it calls. */
export interface MessageClientOptions extends Omit<KeySourceOptions, 'issuer'> {
  /** The token under which `ClientsModule` registered the client. */
  readonly client: InjectionToken;
  /** The service that is called, or a topic of events that several services take. */
  readonly audience: string;
  /**
   * `unsigned`: answers are taken as they come, so anybody who reaches the broker may answer. Default `signed`: they are
   * verified with the keys of the called service. `none`: this client only emits, and `send` fails.
   */
  readonly answers?: 'signed' | 'unsigned' | 'none';
  /** As that of `targets`. Default `send` where `trustDomain` is set, else `never`. */
  readonly grants?: 'send' | 'required' | 'never';
}

const OPTION_NAMES = MESSAGE_CLIENT_OPTIONS satisfies readonly (keyof MessageClientOptions)[];

/** Makes the named clients sign when the application starts. */
@Injectable()
export class MessageClients implements OnModuleInit {
  constructor(
    @Optional() @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth | undefined,
    @Optional()
    @Inject(ServiceCallContext)
    private readonly callContext: ServiceCallContext | undefined,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
  ) {}

  /**
   * @throws ServiceAuthConfigError listing every problem, each as `clients[n].field: what to write`
   * @throws ServiceAuthUsageError where no ServiceAuthModule is imported
   */
  async onModuleInit(): Promise<void> {
    const { serviceAuth, callContext } = this;
    if (!serviceAuth || !callContext) throw missingServiceAuth('ServiceMessagesModule');
    const problems = new ProblemList();
    for (const [index, options] of this.clients().entries()) {
      const reader = new OptionReader(options, OPTION_NAMES, problems.under(`clients[${index}]`));
      await this.sign(reader, { options, signer: { serviceAuth, callContext } });
    }
    problems.assertNone();
  }

  private clients(): readonly MessageClientOptions[] {
    return this.moduleRef.get<readonly MessageClientOptions[]>(MESSAGE_CLIENTS);
  }

  private async sign(reader: OptionReader, { options, signer }: Naming): Promise<void> {
    const clients = this.findClients(reader);
    const { serviceAuth } = signer;
    const { audience, answers, grants } = readClientTarget(reader, serviceAuth.sending);
    const fresh = [...clients].filter((client) => {
      const noted = noteSigning(client, { serviceAuth, options });
      if (noted === 'other') reader.report('client', SIGNS_OTHERWISE);
      return noted === 'first';
    });
    if (fresh.length === 0 || audience === undefined) return;
    const answerKeys =
      answers === 'signed' ? await readKeys(reader, { audience, signer }) : undefined;
    if (answers === 'signed' && !answerKeys) return;
    const settings = { audience, grants, answers, answerKeys };
    for (const client of fresh) {
      const transport = readTransport(reader, client);
      if (transport) signClient(client, { ...settings, transport }, signer);
    }
  }

  /** Each instance: two modules may register one name, each with a client of its own. */
  private findClients(reader: OptionReader): ReadonlySet<object> {
    const token = reader.raw('client') as InjectionToken;
    try {
      return new Set(this.moduleRef.get<object>(token, { strict: false, each: true }));
    } catch {
      const what = `register it with ClientsModule: ${shown(String(token))} is no client of this application`;
      reader.report('client', what);
      return new Set();
    }
  }
}

/** One entry of the options, and who signs. */
interface Naming {
  readonly options: MessageClientOptions;
  readonly signer: ClientSigner;
}

function readTransport(reader: OptionReader, client: object): SendingTransport | undefined {
  const transport = sendingTransport(client);
  const flaw = transport ? transport.flaw : 'is no client of RabbitMQ, Redis, NATS, MQTT or TCP';
  if (flaw === undefined) return transport;
  const name = transport === undefined ? 'it' : `the ${transport.name} client`;
  return reader.report('client', `${name} ${flaw}`);
}

async function readKeys(
  reader: OptionReader,
  { audience, signer }: { readonly audience: string; readonly signer: ClientSigner },
): Promise<KeySource | undefined> {
  const options = { ...reader.keyOptions(), issuer: audience };
  return await reader.problems.attempt(
    async () => await signer.serviceAuth.keysOfAnswerer(options),
  );
}
