import 'reflect-metadata';

/** On the factory of a parameter decorator: its name. */
const NEEDS_VERIFICATION = 'nestjs-service-auth:needs-verification';

/** Marks the factory of a parameter decorator that fails for a request that no guard has verified. @param name for the log */
export function needsVerification<T extends object>(name: string, factory: T): T {
  Reflect.defineMetadata(NEEDS_VERIFICATION, name, factory);
  return factory;
}

/** The name of a decorator that was marked so, from what Nest keeps of a decorated parameter; none for others. */
export function needOfParameter(parameter: unknown): string[] {
  const factory: unknown = Reflect.get(Object(parameter) as object, 'factory');
  const name: unknown =
    typeof factory === 'function' ? Reflect.getMetadata(NEEDS_VERIFICATION, factory) : undefined;
  return typeof name === 'string' ? [name] : [];
}
