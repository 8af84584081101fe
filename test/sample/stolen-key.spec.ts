import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppModule as CensusModule } from '../../sample/census/app.module.js';
import { ensureKeyFiles } from '../../sample/setup/key-files.js';
import { SERVICE_URIS } from '../../sample/setup/services.js';
import { describe as wordsFor } from '../../sample/story/http-client.js';
import { grantFor } from '../../sample/story/signed-request.js';
import { collectLoot, Thief, WAYS } from '../../sample/story/thief.js';
import { ADAPTERS, startService } from '../support/services/service.js';
import { publishKey } from './published-key.js';

const userUri = (id: string) => `${SERVICE_URIS.census}user/${id}/`;
/** Each may read their own data. */
const USERS = ['42', '21', '7'].map(userUri);
/** Is here, and asked for by nobody. */
const OTHER = userUri('5');
const REQUESTS_EACH = 24;
/** The oldest grant that Census takes, and the difference of clocks that it tolerates. */
const TOO_OLD_MILLISECONDS = 306_000;

describe.each(ADAPTERS)('whoever has copied the private key of Herald, on %s', (adapter) => {
  let keys: string;
  let thief: Thief;
  const open: { close(): unknown }[] = [];

  beforeAll(async () => {
    keys = mkdtempSync(join(tmpdir(), 'sample-thief-'));
    ensureKeyFiles(keys);
    const herald = await publishKey('herald', keys);
    const edge = await publishKey('edge', keys);
    const baseUrls = {
      census: '',
      another: '',
      herald: herald.url,
      edge: edge.url,
      courier: edge.url,
    };
    const census = await startService({
      adapter,
      imports: [CensusModule.register({ baseUrls, keys })],
    });
    const censusUrl = `${census.url}/`;
    thief = await Thief.create(await collectLoot(keys, { censusUrl, users: USERS, other: OTHER }));
    open.push(thief, census, herald, edge);
  });
  afterAll(async () => {
    for (const each of open) await each.close();
    rmSync(keys, { recursive: true });
  });

  /** The answers to many requests, each once. */
  async function answersTo(ask: (user: string) => Promise<string>): Promise<string[]> {
    const answers = new Set<string>();
    for (let sent = 0; sent < REQUESTS_EACH; sent += USERS.length) {
      for (const answer of await Promise.all(USERS.map(ask))) answers.add(answer);
    }
    return [...answers];
  }

  it.each(WAYS)('cannot act for a user $title', async ({ prove, expected }) => {
    const answers = await answersTo(async (user) =>
      wordsFor(await thief.ask(user, await prove(thief, user))),
    );
    expect(answers).toEqual([expected]);
  });

  it('can act for a user who is here, while the grant lasts and is young enough', async () => {
    const withGrant = async (user: string, now?: () => number): Promise<string> =>
      wordsFor(await thief.askWithGrant(user, await grantFor(user, keys, { now })));
    expect(await answersTo(async (user) => await withGrant(user))).toEqual(['200']);
    const before = (): number => Date.now() - TOO_OLD_MILLISECONDS;
    expect(await answersTo(async (user) => await withGrant(user, before))).toEqual([
      '403 grant_expired',
    ]);
  });
});
