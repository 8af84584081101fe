import type { HandlerCoverage } from './handler-coverage.js';

/** Receives how each handler of an application that starts is guarded. */
export type CoverageListener = (handlers: readonly HandlerCoverage[]) => void;

/** Both builds of the package find the listener here. */
const place = globalThis as { [key: symbol]: CoverageListener | undefined };
const KEY = Symbol.for('nestjs-service-auth:coverage');

/**
 * Says who receives the tables of the applications that start from now on: `doctor --routes`, and tests.
 * Not by a channel of node:diagnostics_channel: Node 20 may forget one that has subscribers (nodejs/node#59910).
 */
export function setCoverageListener(listener: CoverageListener | undefined): void {
  place[KEY] = listener;
}

export function publishCoverage(handlers: readonly HandlerCoverage[]): void {
  place[KEY]?.(handlers);
}
