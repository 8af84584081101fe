import {
  Inject,
  Injectable,
  type OnApplicationShutdown,
  type OnModuleInit,
  Optional,
} from '@nestjs/common';
import { OptionReader, ProblemList, readReception } from '../../core/index.js';
import { ServiceAuth } from '../../service-auth.js';
import { CallContexts } from '../call-contexts.js';
import { missingServiceAuth } from '../missing-service-auth.js';
import { registerMessages } from './message-call-kind.js';
import {
  MessageReception,
  type MessageReceptionOptions,
  OPTION_NAMES,
} from './message-reception.js';
import { serveMessagesIn } from './served-messages.js';

export const MESSAGE_RECEPTION = Symbol('MESSAGE_RECEPTION');

/** Lets the guard of a service see the messages that Nest's servers receive. */
@Injectable()
export class MessageServer implements OnModuleInit, OnApplicationShutdown {
  private readonly stops: (() => void)[] = [];

  /** In the constructor, since Nest registers handlers before it calls `onModuleInit`. */
  constructor(
    @Optional() @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth | undefined,
    @Inject(CallContexts) private readonly contexts: CallContexts,
    @Inject(MESSAGE_RECEPTION) options: MessageReceptionOptions,
  ) {
    if (!serviceAuth || !contexts.own) return;
    registerMessages(serviceAuth);
    this.stops.push(serveMessagesIn(contexts.own));
    MessageReception.define(serviceAuth, readOptions(options));
  }

  /** @throws ServiceAuthUsageError where no ServiceAuthModule is imported */
  onModuleInit(): void {
    if (!this.serviceAuth) throw missingServiceAuth('ServiceMessagesModule');
    // Those of services that receive no messages too: they may be called while one is served.
    this.stops.push(...this.contexts.all().map(serveMessagesIn));
  }

  onApplicationShutdown(): void {
    for (const stop of this.stops) stop();
  }
}

/** @throws ServiceAuthConfigError listing every problem. What is left out stays open for another module. */
function readOptions(options: MessageReceptionOptions): MessageReceptionOptions {
  const reader = new OptionReader(options, OPTION_NAMES, new ProblemList('forRoot'));
  const { delivery, leaseSeconds } = readReception(reader);
  reader.problems.assertNone();
  return {
    ...(options.delivery !== undefined && { delivery }),
    ...(options.leaseSeconds !== undefined && { leaseSeconds }),
  };
}
