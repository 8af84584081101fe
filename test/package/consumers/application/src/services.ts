export const ANOTHER = 'https://another.service/';
export const HERALD = 'https://herald.service/';
export const CENSUS = 'https://census.service/';
export const USER = 'https://census.service/user/21/';
export const ADA = 'https://census.service/user/42/';

/** What the environment says, read when a service starts. */
export function readSetting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}
