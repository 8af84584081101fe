import { CENSUS_USERS } from '../setup/services.js';
import { DEMO_USERS } from '../edge/demo-users.js';
import { NEWCOMER } from '../story/story.js';

export const SOMEONE_ELSE = `${CENSUS_USERS}7/`;

/** Whom a token can name: those who can log in at Edge, and the one who was never there. */
export const USERS = [
  ...DEMO_USERS,
  { uri: NEWCOMER, name: 'Census User (42)', may: 'may read themself' },
] as const;

export function isPageUser(uri: unknown): uri is string {
  return USERS.some((user) => user.uri === uri);
}
