import { CENSUS_USERS } from '../setup/services.js';

/** Who can log in here. User 42 is to be welcomed, and was never here. */
export const DEMO_USERS = [
  { uri: `${CENSUS_USERS}21/`, name: 'Operator (21)', may: 'may read everybody' },
  { uri: `${CENSUS_USERS}7/`, name: 'Someone Else (7)', may: 'may read themself' },
] as const;

export function isDemoUser(uri: unknown): uri is string {
  return DEMO_USERS.some((user) => user.uri === uri);
}
