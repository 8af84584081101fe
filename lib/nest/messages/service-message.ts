/** Data of a message, and for whom it is sent: {@link serviceMessage} makes it. */
export class ServiceMessage {
  /** @internal */
  constructor(
    readonly data: unknown,
    readonly options: object,
  ) {
    Object.freeze(this);
  }

  /** A client that does not sign must not send it: the receiver would take it for the data. */
  toJSON(): never {
    throw new TypeError(
      'serviceMessage() was given to a client that does not sign: name this client in ServiceMessagesModule.forClients(), or this queue in ServiceJobsModule.forQueues().',
    );
  }
}

/**
 * Says in the call itself for whom a message is sent.
 *
 * @param data what the receiver gets: a JSON value, or a record of Nest that holds one. Of a job its data
 * @param options what `onBehalfOf(user)` or `actingAsItself()` returns
 * @example
 * `census.send('user.get', serviceMessage({ id: 42 }, onBehalfOf(caller)))`
 */
export function serviceMessage(data: unknown, options: object): ServiceMessage {
  return new ServiceMessage(data, options);
}
