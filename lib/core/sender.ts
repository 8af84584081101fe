import { ServiceSigningError } from './errors.js';
import { tell } from './events.js';
import {
  type GrantSigner,
  type IssuedGrant,
  issueGrant,
  type OriginateCall,
} from './grants/issue-grant.js';
import { type AnsweredMessage, AnswerSigner } from './messages/answer-token.js';
import { type OutgoingMessage, transportOf } from './messages/message.js';
import { type MessageTarget, type SignedMessage, signMessage } from './messages/sign-message.js';
import type { Profile } from './profiles.js';
import type { OutgoingRequest, RequestToDestination } from './request.js';
import { assertOutgoingRequest, assertRequestToDestination } from './request-shape.js';
import { SigningTurn } from './scheduling.js';
import type { SendingSettings, ServiceAuthSettings } from './settings.js';
import { type Signer, signRequest } from './sign-request.js';
import { type CalledTarget, isSentUnsigned, SigningReport } from './signing-report.js';
import { type Destination, findDestination } from './targets.js';
import { TokenIds } from './token-ids.js';
import type { Stopwatch } from './verification-progress.js';

/** The target that a URL belongs to. Later changes of the URL object have no effect. */
export interface SigningTarget {
  /** The name of the called service. */
  readonly audience: string;
  readonly profile: Profile;
  /** Whether a call that cannot be signed fails, or goes out without a token. */
  readonly signing: 'required' | 'best-effort';
  /** Whether to send the grant of the call's user: give its text to `sign()`, and send it in `Txn-Token`. */
  readonly grants: 'send' | 'required' | 'never';
  /**
   * Signs a request to that URL. Observers are called with `request_signed`. The caller reports a failure with
   * `noteSigningFailure`.
   *
   * @returns the value of the `JWT` header
   * @throws ServiceSigningError with a code of `SIGNING_FAILURES`: after `close()`, `service_closed`
   * @throws ServiceAuthUsageError for a request with other members, such as a body of text
   */
  sign(request: RequestToDestination): Promise<string>;
}

/** The sending half of one service, with its changing state. */
export class Sender {
  private readonly report: SigningReport;
  private readonly signer: (Signer & GrantSigner) | undefined;
  private readonly turn = new SigningTurn();
  private isClosed = false;

  constructor(private readonly settings: ServiceAuthSettings) {
    const { sending, issuer, now, monotonicNow, observer } = settings;
    this.report = new SigningReport(observer, monotonicNow);
    this.signer = sending && {
      issuer,
      now,
      sending,
      tokenIds: new TokenIds(now),
      turn: this.turn,
      assertOpen: () => this.assertOpen(),
    };
  }

  /** @throws ServiceSigningError `sending_disabled` if the service has no `signingKey` */
  get sending(): SendingSettings {
    return this.signing.sending;
  }

  private get signing(): Signer & GrantSigner {
    if (this.signer) return this.signer;
    throw new ServiceSigningError('sending_disabled');
  }

  /** As `ServiceAuth.targetOf`. */
  targetOf(url: string | URL): SigningTarget | undefined {
    const destination = findDestination(url, this.sending);
    return destination && this.signingTarget(destination);
  }

  /** As `ServiceAuth.sign`. */
  async sign(request: OutgoingRequest): Promise<string | undefined> {
    let destination: Destination | undefined;
    try {
      this.assertOpen();
      assertOutgoingRequest(request);
      destination = findDestination(request.url, this.sending);
      if (destination === undefined) return undefined;
      const stopwatch = this.report.start();
      const token = await signRequest(request, destination, this.signing);
      this.noteSigned(request, destination, stopwatch);
      return token;
    } catch (error) {
      this.noteFailure(error, destination?.target);
      if (isSentUnsigned(error, destination?.target)) return undefined;
      throw error;
    }
  }

  /** As `ServiceAuth.signMessage`. */
  signMessage(message: OutgoingMessage, target: MessageTarget): Promise<SignedMessage> {
    return this.turn.atEnd(() => this.signMessageNow(message, target));
  }

  /** As `ServiceAuth.whenSigning`. */
  whenSigning(work: () => void): void {
    this.turn.run(work);
  }

  /** As `ServiceAuth.signMessageNow`. */
  async signMessageNow(message: OutgoingMessage, target: MessageTarget): Promise<SignedMessage> {
    const called = { audience: target.audience, transport: transportOf(message.verb) };
    try {
      this.assertOpen();
      const stopwatch = this.report.start();
      const signed = await signMessage(message, target, this.signing);
      this.assertOpen();
      if (stopwatch) this.report.signed(message, { ...called, profile: 'strict' }, stopwatch);
      return signed;
    } catch (error) {
      this.noteFailure(error, { ...called, signing: 'required' });
      throw error;
    }
  }

  /** As `ServiceAuth.answerSigner`. */
  answerSigner(message: AnsweredMessage): AnswerSigner {
    this.assertOpen();
    return new AnswerSigner(message, this.sending, this.settings.now);
  }

  /** As `ServiceAuth.originate`. */
  issueGrant(subject: string, { insteadOf, ...options }: OriginateCall): IssuedGrant {
    this.assertOpen();
    const { observer } = this.settings;
    const grant = issueGrant(subject, options, this.signing);
    const { transaction, lifetimeSeconds } = grant;
    const text = grant.text.then((signed) => {
      this.assertOpen();
      tell(observer, { type: 'grant_issued', transaction, lifetimeSeconds, insteadOf });
      return signed;
    });
    return { ...grant, text };
  }

  /** As `ServiceAuth.noteSigningFailure`. */
  noteFailure(error: unknown, target: CalledTarget | undefined): void {
    this.report.failed(error, target);
  }

  /** Stops signing. Calls that wait for their signature fail with `service_closed`. */
  close(): void {
    this.isClosed = true;
  }

  // Closures, so that a printed target shows neither keys nor settings.
  private signingTarget(destination: Destination): SigningTarget {
    const { audience, profile, signing, grants } = destination.target;
    const sign = async (request: RequestToDestination): Promise<string> => {
      this.assertOpen();
      assertRequestToDestination(request);
      const stopwatch = this.report.start();
      const token = await signRequest(request, destination, this.signing);
      this.noteSigned(request, destination, stopwatch);
      return token;
    };
    return { audience, profile, signing, grants, sign };
  }

  /** @throws ServiceSigningError `service_closed`: it may have been closed since the turn of this request */
  private noteSigned(
    request: RequestToDestination,
    { target }: Destination,
    stopwatch: Stopwatch | undefined,
  ): void {
    this.assertOpen();
    if (stopwatch) this.report.signed(request, target, stopwatch);
  }

  private assertOpen(): void {
    if (this.isClosed) throw new ServiceSigningError('service_closed');
  }
}
