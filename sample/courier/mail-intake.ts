import type { ModuleMetadata } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { ReplayStore } from 'nestjs-service-auth/core';
import { type Environment, type MailQueuePlace, portTaken } from '../setup/environment.js';

/** How mails come in: over TCP as messages, or from BullMQ as jobs. */
export interface MailIntake extends Pick<ModuleMetadata, 'imports' | 'controllers' | 'providers'> {
  readonly transport: 'messages' | 'jobs';
  /** undefined: each process remembers used tokens by itself. */
  readonly replayStore: ReplayStore | undefined;
}

/** The intake of the environment. Loads BullMQ only where mails wait in Redis. */
export async function mailIntake({ kind, port }: MailQueuePlace): Promise<MailIntake> {
  if (kind === 'redis') return (await import('./redis-mail-intake.js')).redisMailIntake(port);
  const { ServiceMessagesModule } = await import('nestjs-service-auth/microservices');
  const { MailController } = await import('./mail.controller.js');
  return {
    transport: 'messages',
    replayStore: undefined,
    imports: [ServiceMessagesModule],
    controllers: [MailController],
  };
}

/** Listens for mails over TCP, unless they come from BullMQ. */
export async function listenForMails(
  app: NestExpressApplication,
  { mailQueue: { kind, port } }: Pick<Environment, 'mailQueue'>,
): Promise<void> {
  if (kind === 'redis') return;
  const { Transport } = await import('@nestjs/microservices');
  const { ReportingDeserializer } = await import('../story/report-messages.js');
  app.connectMicroservice({
    transport: Transport.TCP,
    options: { host: '127.0.0.1', port, deserializer: new ReportingDeserializer() },
  });
  try {
    await app.startAllMicroservices();
  } catch (error) {
    throw portTaken(error, 'courierTcp') ?? error;
  }
}
