import 'reflect-metadata';
import type { ExecutionContext } from '@nestjs/common';

const FOR_EACH_INSTANCE = 'nestjs-service-auth:event-for-each-instance';

/**
 * Says who handles one event where several replicas of this service get it. `service`, the default: one of them, the first
 * that has recorded the use of its token. `instance`: each of them, as for events that empty a cache. Stands on a handler
 * under `@EventPattern`, or on its controller; that of the handler counts.
 *
 * @example
 * `@EventPattern('user.changed') @EventConsumer('instance') forget(@Payload() user: UserChanged) {}`
 */
export function EventConsumer(consumer: 'service' | 'instance'): ClassDecorator & MethodDecorator {
  return (target: object, _key?: string | symbol, descriptor?: PropertyDescriptor) => {
    const marked = (descriptor?.value as object | undefined) ?? target;
    Reflect.defineMetadata(FOR_EACH_INSTANCE, consumer === 'instance', marked);
  };
}

/** Whether each replica handles the events of this handler. */
export function isForEachInstance(context: ExecutionContext): boolean {
  const marks: unknown[] = [context.getHandler(), context.getClass()].map((marked): unknown =>
    Reflect.getMetadata(FOR_EACH_INSTANCE, marked),
  );
  return marks.find((mark) => mark !== undefined) === true;
}
