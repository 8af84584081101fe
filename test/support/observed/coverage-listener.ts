const COVERAGE_LISTENER = Symbol.for('nestjs-service-auth:coverage');

/** Says who receives how the handlers of each application that starts are guarded: what `doctor --routes` prints. */
export function setCoverageListener(listener: ((table: unknown) => void) | undefined): void {
  Reflect.set(globalThis, COVERAGE_LISTENER, listener);
}
