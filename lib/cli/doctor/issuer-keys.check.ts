import type { ServiceAuthEvent, ServiceAuthSettings } from '../../core/index.js';
import type { Originator } from '../../core/grants/grant-settings.js';
import type { TrustedIssuer } from '../../core/issuers.js';
import { type Check, fail, ok, warn } from './check.js';

const NAME = 'keys of issuer';

/** Checks that the keys of every trusted issuer can be read. */
export async function checkIssuerKeys(
  { receiving }: ServiceAuthSettings,
  isListed: boolean,
  { events, answerers }: DroppedKeys,
): Promise<Check[]> {
  if (!receiving) return [];
  if (!isListed) {
    const advice = 'name the issuers in a list to have their keys checked';
    return [warn(NAME, 'issuers are looked up when they call, so none is checked', advice)];
  }
  const issuers = [...receiving.trustedIssuers.known()];
  const checks = await Promise.all(issuers.map(checkIssuer));
  const isOther = (name: string) =>
    answerers.has(name) && issuers.every(({ issuer }) => issuer !== name);
  return [...checks.flat(), ...describeDropped(NAME, events, (name) => !isOther(name))];
}

/** The events of the keys that are not used, and the names of the services whose answers are verified. */
export interface DroppedKeys {
  readonly events: readonly ServiceAuthEvent[];
  readonly answerers: ReadonlySet<string>;
}

/** Names the keys that are not used of services that only answer messages. */
export function checkDroppedOfAnswerers(
  { receiving }: ServiceAuthSettings,
  { events, answerers }: DroppedKeys,
): Check[] {
  const known = new Set([...(receiving?.trustedIssuers.known() ?? [])].map(({ issuer }) => issuer));
  return describeDropped(
    'keys of answerer',
    events,
    (name) => answerers.has(name) && !known.has(name),
  );
}

/** Checks that the keys of every originator can be read. */
export async function checkOriginatorKeys({ receiving }: ServiceAuthSettings): Promise<Check[]> {
  const originators = [...(receiving?.grants?.originators.values() ?? [])];
  return await Promise.all(
    originators.map(async (originator) => await checkKeys('keys of originator', originator)),
  );
}

async function checkIssuer(trusted: TrustedIssuer): Promise<Check[]> {
  const check = await checkKeys(NAME, trusted);
  return trusted.profile === 'strict' ? [check] : [check, warnOfProfile(trusted.issuer)];
}

/** Checks that the keys of one service can be read. */
export async function checkKeys(
  name: string,
  { issuer, keys }: Pick<Originator, 'issuer' | 'keys'>,
): Promise<Check> {
  await keys.settled();
  const { status, keyIds, lastError = 'unknown' } = keys.health();
  const known = `${issuer}: ${keyIds.join(', ')}`;
  return status === 'unavailable'
    ? fail(name, `${issuer}: ${lastError}`, adviceFor(lastError))
    : ok(name, status === 'static' ? `${known} (configured)` : `${known} (fetched)`);
}

function adviceFor(lastError: string): string {
  return lastError.startsWith('the set has no key')
    ? 'publish a key of a kind the protocol uses, without its private members'
    : 'open the URL of its JWK Set from this host: is the service up, the name right, the certificate trusted?';
}

function warnOfProfile(issuer: string): Check {
  const message = `${issuer} may use the original profile: its tokens bind no URL and may be replayed`;
  return warn('profile', message, 'move it to the strict profile when it can sign it');
}

function describeDropped(
  name: string,
  events: readonly ServiceAuthEvent[],
  isMeant: (issuer: string) => boolean,
): Check[] {
  return events.flatMap((event) => {
    if (event.type !== 'key_dropped' || !isMeant(event.issuer)) return [];
    const message = `${event.issuer}: a key is not used: ${event.reason}`;
    return warn(name, message, 'ask its owner to publish another');
  });
}
