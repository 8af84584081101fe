import { OptionReader } from '../core/index.js';
import type { CallContext } from '../for-whom/call-subject.js';

/** Any implementation of fetch: Node's, undici's, or a function that wraps one of them. */
export type AnyFetch = (input: never, init: never) => Promise<unknown>;

/** The options of a signed fetch. */
export interface SignedFetchOptions<Fetch extends AnyFetch = typeof fetch> {
  /**
   * Sends the signed requests. It is called with a URL or a `Request`, and an init. It must send them unchanged, and
   * once. Default: the global `fetch`, looked up for each call.
   */
  readonly fetch?: Fetch;
  /** Provides the user of a call that names none. In Nest: the `ServiceCallContext`. Default: no context. */
  readonly callContext?: CallContext;
}

export interface SignedFetchSettings {
  readonly send: (input: unknown, init: object) => Promise<unknown>;
  readonly callContext: CallContext | undefined;
}

const OPTION_NAMES = ['fetch', 'callContext'] as const satisfies (keyof SignedFetchOptions)[];

/** @throws ServiceAuthConfigError listing every problem, each as `field: what to write` */
export function readSignedFetchOptions(options: unknown): SignedFetchSettings {
  const reader = new OptionReader(options, OPTION_NAMES);
  const send = reader.value('fetch', isSender, 'write a function that is called like fetch');
  const callContext = reader.port<CallContext>('callContext', 'current');
  reader.problems.assertNone();
  return Object.freeze({ send: send ?? sendWithGlobalFetch, callContext });
}

/** Looked up for each call, since tests and tracers replace it. */
async function sendWithGlobalFetch(input: unknown, init: object): Promise<unknown> {
  return await fetch(input as string, init);
}

function isSender(value: unknown): value is SignedFetchSettings['send'] {
  return typeof value === 'function';
}
