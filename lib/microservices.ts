/** What an application imports that sends or serves messages of `@nestjs/microservices`. */
export { EventConsumer } from './nest/messages/event-consumer.decorator.js';
export type { MessageClientOptions } from './nest/messages/message-clients.provider.js';
export type { MessageReceptionOptions } from './nest/messages/message-reception.js';
export { ServiceMessage, serviceMessage } from './nest/messages/service-message.js';
export { ServiceMessagesModule } from './nest/messages/service-messages.module.js';
