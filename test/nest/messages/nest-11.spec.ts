import { HAS_METADATA, TRANSPORTS, type TransportName } from '../../support/messages/brokers.js';
import { isInstalled } from '../../support/messages/broker.js';
import { HeraldService } from '../../support/messages/messaging-services.js';

/** No broker is asked: what the client cannot do is known when the application starts. */
describe('a client whose packets have no place for a token', () => {
  const affected: TransportName[] = isInstalled('redis-server') ? ['TCP', 'Redis'] : ['TCP'];
  it.each(affected)('%s: keeps the application from starting before Nest 12.0.4', async (name) => {
    const transport = TRANSPORTS.find((each) => each.name === name);
    const place = await transport?.start();
    if (!place) throw new Error(`${name} is no transport`);
    const starting = HeraldService.start({ place });
    if (HAS_METADATA) await (await starting).close();
    else await expect(starting).rejects.toThrow(/Nest 12\.0\.4/);
    await place.close();
  });
});
