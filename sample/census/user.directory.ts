import { Injectable } from '@nestjs/common';
import { CENSUS_USERS } from '../setup/services.js';

export type Role = 'operator' | 'member';

export interface User {
  readonly id: string;
  readonly name: string;
  readonly email: string;
  readonly role: Role;
}

const USERS: readonly User[] = [
  { id: '42', name: 'Census User', email: 'user42@census.service', role: 'member' },
  { id: '21', name: 'Operator', email: 'operator@census.service', role: 'operator' },
  { id: '7', name: 'Someone Else', email: 'someone.else@census.service', role: 'member' },
];

@Injectable()
export class UserDirectory {
  findById(id: string): User | undefined {
    return USERS.find((user) => user.id === id);
  }

  findByUri(uri: string): User | undefined {
    return USERS.find((user) => uriOf(user) === uri);
  }
}

export function uriOf(user: User): string {
  return `${CENSUS_USERS}${user.id}/`;
}
