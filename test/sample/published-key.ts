import type { KeyOwner } from '../../sample/setup/services.js';
import { readPrivateKey } from '../../sample/setup/key-files.js';
import { ringOf } from '../../sample/story/key-ring-file.js';
import { serveKeys, startKeyServer } from '../support/keys/key-server.js';

/** The published key of a service of the sample, and nothing else of that service. */
export interface PublishedKey {
  /** With a final slash, as base URLs of the sample have it. */
  readonly url: string;
  close(): Promise<void>;
}

/** @param keys the directory of the key files */
export async function publishKey(owner: KeyOwner, keys: string): Promise<PublishedKey> {
  const { d: _private, ...jwk } = (await ringOf(readPrivateKey(keys, owner))).current;
  const server = await startKeyServer(serveKeys([jwk]));
  return { url: new URL('/', server.url).href, close: async () => await server.close() };
}
