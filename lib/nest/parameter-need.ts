import 'reflect-metadata';

/** The symbol under which the factory of a parameter decorator has its name. */
const NEEDS_VERIFICATION = 'nestjs-service-auth:needs-verification';

/** Marks the factory of a parameter decorator that needs a verified request. @param name for the log */
export function needsVerification<T extends object>(name: string, factory: T): T {
  Reflect.defineMetadata(NEEDS_VERIFICATION, name, factory);
  return factory;
}

/** The name of a marked decorator, from Nest's metadata of a parameter; undefined for other decorators. */
export function needOfParameter(parameter: unknown): string[] {
  const factory: unknown = Reflect.get(Object(parameter) as object, 'factory');
  const name: unknown =
    typeof factory === 'function' ? Reflect.getMetadata(NEEDS_VERIFICATION, factory) : undefined;
  return typeof name === 'string' ? [name] : [];
}
