import { CENSUS_USERS } from '../setup/services.js';
import { NEWCOMER, OPERATOR } from '../story/story.js';

export const SOMEONE_ELSE = `${CENSUS_USERS}7/`;

/** Whom the visitor can act for, and what each may do at Census. */
export const USERS = [
  { uri: OPERATOR, name: 'Operator (21)', may: 'may read everybody' },
  { uri: NEWCOMER, name: 'Census User (42)', may: 'may read themself' },
  { uri: SOMEONE_ELSE, name: 'Someone Else (7)', may: 'may read themself' },
] as const;

export function isPageUser(uri: unknown): uri is string {
  return USERS.some((user) => user.uri === uri);
}
