import { DEMO_USERS } from '../../edge/demo-users.js';
import { SERVICES, titleOf } from '../hop-recorder.js';

/** What a button of a switch does. */
export interface Action {
  readonly id: string;
  readonly label: string;
}

/** Something that the visitor can change about the running services. */
export interface Switch {
  readonly id: 'key-server' | 'rotation' | 'replica' | 'service' | 'mail' | 'user';
  readonly title: string;
  readonly does: string;
  readonly actions: readonly Action[];
  /** What the visitor chooses before an action. */
  readonly choice?: {
    readonly label: string;
    readonly options: readonly { readonly value: string; readonly name: string }[];
  };
}

export const SWITCHES: readonly Switch[] = [
  {
    id: 'key-server',
    title: 'Stop the key server',
    does: 'Census verifies Herald’s tokens with public keys that it fetches from Herald. Stop serving them, and see how long Census goes on.',
    actions: [
      { id: 'off', label: 'Stop it' },
      { id: 'restart-census', label: 'Restart Census meanwhile' },
      { id: 'on', label: 'Start it again' },
    ],
  },
  {
    id: 'rotation',
    title: 'Rotate Herald’s key',
    does: 'Herald gets another key while calls go on. Each step waits until Census has fetched the keys: up to a minute, since a key set may be kept for 60 seconds.',
    actions: [
      { id: 'publish', label: '1. Publish the next key' },
      { id: 'switch', label: '2. Sign with it' },
      { id: 'withdraw', label: '3. Withdraw the old key' },
    ],
  },
  {
    id: 'replica',
    title: 'Start a second Census',
    does: 'Two processes of one service, with one memory of used tokens or with two. The page sends one request to the first process, and the same bytes to the second.',
    actions: [
      { id: 'shared', label: 'One shared memory' },
      { id: 'apart', label: 'Two memories' },
      { id: 'stop', label: 'Stop it' },
    ],
  },
  {
    id: 'service',
    title: 'Stop or kill a service',
    does: 'Stopped, a service stays down until you start it. Killed, it is started again by itself.',
    choice: {
      label: 'Service',
      options: SERVICES.map((name) => ({ value: name, name: titleOf(name) })).toReversed(),
    },
    actions: [
      { id: 'stop', label: 'Stop it' },
      { id: 'kill', label: 'Kill it' },
      { id: 'start', label: 'Start it' },
    ],
  },
  {
    id: 'mail',
    title: 'Kill the courier in the middle of a mail',
    does: 'Herald queues the mail, and the courier writes it. The courier is killed before or after the text. It is started again by itself, and gets the mail again.',
    actions: [
      { id: 'begun', label: 'Kill it before the text' },
      { id: 'taken', label: 'Kill it after the text' },
    ],
  },
  {
    id: 'user',
    title: 'Log in another user',
    does: 'The same call for another user. The services hold no rights of their own: Census decides as if the user asked in person.',
    choice: {
      label: 'User',
      options: DEMO_USERS.map(({ uri, name }) => ({ value: uri, name })).toReversed(),
    },
    actions: [{ id: 'call', label: 'Log in and call' }],
  },
];
