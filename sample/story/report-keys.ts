import type { KeyHealth } from 'nestjs-service-auth';
import type { KnownKeys } from './messages.js';

const LOOK_EVERY_MILLISECONDS = 100;

/**
 * FOR THE DEMONSTRATION ONLY. Tells the runner which keys of others this service knows, now and
 * whenever they are others. In a service of yours a health check asks `KeyHealth` the same.
 */
export function reportKeys(health: KeyHealth, report: (keys: KnownKeys) => void): void {
  let before: string | undefined;
  const look = (): void => {
    const known = Object.fromEntries(health.report().map(({ issuer, keyIds }) => [issuer, keyIds]));
    const text = JSON.stringify(known);
    if (text !== before) report(known);
    before = text;
  };
  look();
  setInterval(look, LOOK_EVERY_MILLISECONDS).unref();
}
