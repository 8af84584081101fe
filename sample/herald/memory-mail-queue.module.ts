import { type DynamicModule, Module } from '@nestjs/common';
import { ClientsModule, Transport } from '@nestjs/microservices';
import { ServiceMessagesModule } from 'nestjs-service-auth/microservices';
import { readPublicKey } from '../setup/key-files.js';
import { SERVICE_URIS } from '../setup/services.js';
import { MailQueue } from './mail-queue.js';
import { COURIER, MemoryMailQueue } from './memory-mail-queue.js';

/** Mails wait in Herald's memory, and are handed to the courier over TCP. */
@Module({})
export class MemoryMailQueueModule {
  static register(port: number, keys: string): DynamicModule {
    const options = { host: '127.0.0.1', port };
    return {
      module: MemoryMailQueueModule,
      imports: [
        ClientsModule.register([{ name: COURIER, transport: Transport.TCP, options }]),
        ServiceMessagesModule.forClients([
          {
            client: COURIER,
            audience: SERVICE_URIS.courier,
            // For its answers. From a file, so that Herald may start before the courier publishes it.
            publicKey: readPublicKey(keys, 'courier'),
          },
        ]),
      ],
      providers: [{ provide: MailQueue, useClass: MemoryMailQueue }],
      exports: [MailQueue],
    };
  }
}
