/** The names of the services: what tokens say in `iss` and `aud`. Where they listen is another matter. */
export const SERVICE_URIS = {
  census: 'https://census.service/',
  herald: 'https://herald.service/',
  another: 'https://another.service/',
  edge: 'https://edge.service/',
  courier: 'https://courier.service/',
  /** No process of ours: whoever holds its key pair and speaks the format first published. */
  legacy: 'https://legacy.service/',
} as const;

/** Everybody who has a key pair. */
export type KeyOwner = keyof typeof SERVICE_URIS;

/** The services that run here. */
export type ServiceName = Exclude<KeyOwner, 'legacy'>;

/** Every user's URI begins with this. */
export const CENSUS_USERS = `${SERVICE_URIS.census}user/`;

/** The environment whose grants count: in yours production has one name, and staging another. */
export const TRUST_DOMAIN = 'https://sample.example/';

/** Of all users, the one whom legacy.service may speak for: it cannot prove that anybody asked. */
export const LEGACY_USERS = [`${CENSUS_USERS}21/`];

const USER_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** The id in the URI of a census user; undefined when it is not one. */
export function readUserId(uri: unknown): string | undefined {
  if (typeof uri !== 'string' || !uri.startsWith(CENSUS_USERS) || !uri.endsWith('/')) {
    return undefined;
  }
  const id = uri.slice(CENSUS_USERS.length, -1);
  return USER_ID.test(id) ? id : undefined;
}

export function isUserUri(uri: unknown): uri is string {
  return readUserId(uri) !== undefined;
}
