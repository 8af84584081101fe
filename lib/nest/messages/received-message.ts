import { IntrinsicException } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import {
  type IncomingMessage,
  type RequestVerification,
  type RoutePolicy,
  ServiceAuthUnavailableError,
  ServiceAuthUsageError,
  type ServiceIdentity,
  ServiceTokenRefusedError,
  type VerifiedMessage,
} from '../../core/index.js';
import type { CallRefusal, ReceivedCall } from '../received-call.js';
import { noteVerification, type RequestState, type Verification } from '../request-state.js';
import { removeSigned, signedHeaders } from './header-carrier.js';
import { holdUse, together } from './held-use.js';
import type { MessageDelivery } from './message-delivery.js';
import { MessageReception } from './message-reception.js';

/** One message that was delivered, as guards and decorators look at it. */
export class ReceivedMessage implements ReceivedCall<IncomingMessage> {
  readonly transport = 'messages' as const;
  private headers: ReadonlyMap<string, readonly string[]> | undefined;
  /** That of the service which began last to verify it. */
  private begun: MessageReception | undefined;

  /**
   * @param data what handlers will get
   * @param isForEachInstance whether each replica handles it
   */
  constructor(
    private readonly delivery: MessageDelivery,
    private readonly data: unknown,
    private readonly isForEachInstance: boolean,
  ) {}

  /**
   * Several handlers of one event share its use.
   *
   * @throws ServiceAuthUsageError where some want it once for the service, and others once for each instance
   */
  assertConsumer(isForEachInstance: boolean): void {
    if (isForEachInstance === this.isForEachInstance) return;
    throw new ServiceAuthUsageError(
      `The handlers of ${JSON.stringify(this.route)} share each event: write the same @EventConsumer() on all of them.`,
    );
  }

  get state(): RequestState {
    return this.delivery.state;
  }

  get route(): string {
    return this.delivery.endpoint.pattern;
  }

  get hasToken(): boolean {
    return (this.readHeaders().get('jwt') ?? []).length > 0;
  }

  toVerify(): IncomingMessage {
    const { endpoint, context } = this.delivery;
    const headers = this.readHeaders();
    return {
      verb: endpoint.isEvent ? 'EMIT' : 'SEND',
      route: endpoint.transport.routeOf(context),
      headerValues: (name) => headers.get(name) ?? [],
      data: this.data,
      bytes: endpoint.transport.bytesOf(context),
    };
  }

  beginVerification(verifier: object, isReport: boolean): Verification {
    this.begun = MessageReception.of(verifier);
    const verification = noteVerification(this.state, verifier, isReport);
    this.delivery.isDeciding = true;
    const decided = (): void => void (this.delivery.isDeciding = false);
    const failed = (): void => {
      decided();
      this.settleUndecided();
    };
    // The caller sets the result in this very turn.
    queueMicrotask(() => void verification.result?.then(decided, failed));
    return verification;
  }

  async prove(
    incoming: IncomingMessage,
    policy: RoutePolicy,
    verification: RequestVerification,
  ): Promise<ServiceIdentity> {
    const { endpoint } = this.delivery;
    const reception = this.reception;
    this.assertDelivery(reception);
    const isHeld = endpoint.isEvent && endpoint.isRedelivered;
    const space = reception.spaceOf(endpoint, this.isForEachInstance);
    const terms = { policy, space, replay: isHeld ? 'leave' : 'record' } as const;
    const verified = await this.dropDuplicates(verification, async () =>
      verification.proveMessage(incoming, terms),
    );
    if (isHeld) await this.reserve(verified, { verification, reception });
    if (verified.wantsAnswer) this.signAnswers(verified.identity, reception);
    return verified.identity;
  }

  /** On the RPC context, which handlers get with `@Ctx()`. */
  setUser(user: unknown): void {
    Reflect.set(this.delivery.context, 'user', user);
  }

  removeToken(): void {
    this.readHeaders();
    const { endpoint, context } = this.delivery;
    removeSigned(endpoint.transport.headersOf(context));
  }

  refuse(error: CallRefusal): Error {
    // A reservation that failed has said how the message ends.
    this.delivery.refused ??= refusalOf(error, this.delivery.endpoint.isEvent);
    return this.delivery.endpoint.isEvent ? new RefusedEvent(error) : toRpcException(error);
  }

  /**
   * A guard that fails without a refusal, such as in the `userResolver`, lets no handler settle the message. Until it is
   * settled, it takes the place of another one.
   */
  private settleUndecided(): void {
    const { delivery } = this;
    if (delivery.refused !== undefined) return;
    // It is settled at its end, after a pause: what a filter settles before must not count.
    if (delivery.endpoint.isEvent) delivery.refused = 'requeue';
    // At once. The answer is that of the filters, and signed.
    else delivery.settlement?.refuse('dead-letter');
  }

  private get reception(): MessageReception {
    if (this.begun) return this.begun;
    throw new ServiceAuthUsageError('No service has begun to verify this message.');
  }

  /** @throws ServiceAuthUsageError where an event would be lost without a word */
  private assertDelivery({ isAtMostOnce }: MessageReception): void {
    const { isEvent, isAcknowledgedUnread, pattern } = this.delivery.endpoint;
    if (!isEvent || !isAcknowledgedUnread || isAtMostOnce) return;
    throw new ServiceAuthUsageError(
      `RabbitMQ forgets each event for ${JSON.stringify(pattern)} before its handler has run (noAck: true): write noAck: false in the options of the server, and acknowledge in each handler, or write delivery: 'at-most-once' in ServiceMessagesModule.forRoot().`,
    );
  }

  /** Where several consumers get one message, all but one of them see its token a second time: no attack, and no answer. */
  private async dropDuplicates(
    verification: RequestVerification,
    prove: () => Promise<VerifiedMessage>,
  ): Promise<VerifiedMessage> {
    try {
      return await prove();
    } catch (error) {
      const isSeen = error instanceof ServiceTokenRefusedError && error.code === 'token_replayed';
      if (isSeen && this.delivery.endpoint.isFanOut) this.drop(verification);
      throw error;
    }
  }

  private drop(verification: RequestVerification): void {
    // What is only reported is handled nevertheless.
    if (this.state.verification?.isReport) return;
    this.delivery.refused = 'drop';
    verification.duplicate(this.transport, this.route);
  }

  private async reserve(
    verified: VerifiedMessage,
    { verification, reception }: Reserving,
  ): Promise<void> {
    const { leaseMilliseconds, serviceAuth } = reception;
    const { transport, route } = this;
    const holding = { serviceAuth, transport, route, leaseMilliseconds };
    const held = await reception.whileWaiting(
      this.delivery.endpoint,
      async (waitMilliseconds) => await holdUse(verified, { ...holding, waitMilliseconds }),
    );
    if (held === 'seen') {
      this.drop(verification);
      throw new ServiceTokenRefusedError('token_replayed');
    }
    if (held === 'busy') throw new ServiceAuthUnavailableError('message_busy');
    this.delivery.claim = together(this.delivery.claim, held);
  }

  private signAnswers(identity: ServiceIdentity, { serviceAuth }: MessageReception): void {
    const { audience: answerer, issuer: asker, tokenId = '' } = identity;
    const signer = serviceAuth.answerSigner({ answerer, asker, tokenId });
    this.delivery.answers = {
      sign: async (part) => {
        const JWT = await signer.sign(part);
        return part.text === undefined ? { JWT } : { JWT, text: part.text };
      },
    };
  }

  /** Read once: the token is removed later, and the guard of another service needs it too. */
  private readHeaders(): ReadonlyMap<string, readonly string[]> {
    const { endpoint, context } = this.delivery;
    return (this.headers ??= signedHeaders(endpoint.transport.headersOf(context)));
  }
}

interface Reserving {
  readonly verification: RequestVerification;
  readonly reception: MessageReception;
}

/** What cannot be decided now is delivered again, if it is an event: the caller of a request gets the answer. */
function refusalOf({ status }: CallRefusal, isEvent: boolean): 'requeue' | 'dead-letter' {
  return status === 503 && isEvent ? 'requeue' : 'dead-letter';
}

/**
 * Refuses an event, for which nobody waits. Nest logs each `RpcException` of an event that no filter takes, with its stack,
 * so that strangers could fill the log. The event of the refusal is logged in its own, limited lines.
 */
export class RefusedEvent extends IntrinsicException {
  readonly code: string;

  constructor(error: CallRefusal) {
    super(error.message);
    this.code = error.code;
  }
}

/** The answer of Nest's own filter: `status`, and the code and fixed sentence of the refusal. */
export function toRpcException(error: CallRefusal): RpcException {
  const { code, message } = error;
  return new RpcException({ status: 'error', code, message });
}
