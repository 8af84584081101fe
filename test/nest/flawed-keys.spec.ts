import { expectAccepted, expectRefused } from '../support/attacks/answers.js';
import { type AttemptParts, tokenFor, toCall, withParts } from '../support/attacks/attempt.js';
import { BASELINE, HERALD, NOW_SECONDS, SCRIBE, startCensus } from '../support/services/census.js';
import { FLAWED_KEYS } from './flawed-keys.js';
import { type Answer, call } from '../support/http/http.js';
import { jwkOf, type KeyServer, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { ADAPTERS, type TestService } from '../support/services/service.js';

const good = createKey();
const keep = closeAfterEach();

/** Keys that a key server publishes and nobody may use: the signatures are good, the keys are not. */
describe.each(ADAPTERS)('on %s', (adapter) => {
  /** HERALD publishes the flawed key, SCRIBE the sound one under the same id; each a good one too. */
  const startWith = async (flawed: KeyServer, sound: KeyServer): Promise<TestService> =>
    keep(
      await startCensus({
        adapter,
        options: {
          trustedIssuers: [
            { issuer: HERALD, jwksUri: flawed.url },
            { issuer: SCRIBE, jwksUri: sound.url },
          ],
        },
      }),
    );

  async function publish(...keys: unknown[]): Promise<KeyServer> {
    return keep(await startKeyServer(serveKeys(keys)));
  }

  async function send(service: TestService, parts: AttemptParts): Promise<Answer> {
    const attempt = withParts(BASELINE, parts);
    return await call(service.port, toCall(attempt, tokenFor(attempt, NOW_SECONDS)));
  }

  it.each(FLAWED_KEYS)('$title: key_unknown', async ({ flawed, sound }) => {
    const service = await startWith(
      await publish(flawed.jwk, jwkOf(good)),
      await publish(sound.jwk, jwkOf(good)),
    );
    const { jwk: _flawed, ...signedWithFlawed } = flawed;
    const { jwk: _sound, ...signedWithSound } = sound;
    expectAccepted(await send(service, { ...signedWithSound, issuer: SCRIBE }));
    const answer = await send(service, { ...signedWithFlawed, issuer: HERALD });
    expectRefused(answer, { code: 'key_unknown' });
    expectAccepted(await send(service, { key: good, issuer: HERALD }));
  });
});
