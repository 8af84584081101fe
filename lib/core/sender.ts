import { ServiceSigningError } from './errors.js';
import { tell } from './events.js';
import { type IssuedGrant, issueGrant, type OriginateCall } from './grants/issue-grant.js';
import { type AnsweredMessage, AnswerSigner } from './messages/answer-token.js';
import type { OutgoingMessage } from './messages/message.js';
import { type MessageTarget, type SignedMessage, signMessage } from './messages/sign-message.js';
import type { Profile } from './profiles.js';
import type { OutgoingRequest, RequestToDestination } from './request.js';
import { assertOutgoingRequest } from './request-shape.js';
import { SigningTurn } from './scheduling.js';
import type { SendingSettings, ServiceAuthSettings } from './settings.js';
import { type Signer, signRequest } from './sign-request.js';
import { type CalledTarget, isSentUnsigned, SigningReport } from './signing-report.js';
import { type Destination, findDestination } from './targets.js';
import { TokenIds } from './token-ids.js';

/** The target that a URL belongs to, as it was looked up: no later change of the URL counts. */
export interface SigningTarget {
  /** The name of the service that is called. */
  readonly audience: string;
  readonly profile: Profile;
  /** Whether a call that cannot be signed fails, or is sent without a token. */
  readonly signing: 'required' | 'best-effort';
  /** Whether the grant of the call's user goes along: its text is given to `sign()`, and sent in `Txn-Token`. */
  readonly grants: 'send' | 'required' | 'never';
  /**
   * Signs a request to that URL. Observers are called with `request_signed`; a failure is reported by the caller, with
   * `noteSigningFailure`.
   *
   * @returns the value of the `JWT` header
   * @throws ServiceSigningError with a code of `SIGNING_FAILURES`: after `close()`, `service_closed`
   * @throws ServiceAuthUsageError for a request with other members, such as a body of text
   */
  sign(request: RequestToDestination): Promise<string>;
}

/** The sending half of one service, with the state that changes while it signs. */
export class Sender {
  private readonly report: SigningReport;
  private readonly tokenIds: TokenIds;
  private readonly turn = new SigningTurn();
  private isClosed = false;

  constructor(private readonly settings: ServiceAuthSettings) {
    this.report = new SigningReport(settings.observer, settings.monotonicNow);
    this.tokenIds = new TokenIds(settings.now);
  }

  /** @throws ServiceSigningError `sending_disabled` where the service has no `signingKey` */
  get sending(): SendingSettings {
    const { sending } = this.settings;
    if (sending) return sending;
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
      return destination && (await this.signTo(destination, request));
    } catch (error) {
      this.noteFailure(error, destination?.target);
      if (isSentUnsigned(error, destination?.target)) return undefined;
      throw error;
    }
  }

  /** As `ServiceAuth.signMessage`. */
  async signMessage(message: OutgoingMessage, target: MessageTarget): Promise<SignedMessage> {
    try {
      this.assertOpen();
      const stopwatch = this.report.start();
      const signed = await signMessage(message, target, this.signer());
      this.assertOpen();
      if (stopwatch) this.report.signed(message, { ...target, profile: 'strict' }, stopwatch);
      return signed;
    } catch (error) {
      this.noteFailure(error, { audience: target.audience, signing: 'required' });
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
    const { settings, sending, tokenIds, turn } = this;
    const { issuer, now, observer } = settings;
    const grant = issueGrant(subject, options, { issuer, now, sending, tokenIds, turn });
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

  /** From now on nothing is signed, and what is being signed is refused: `service_closed`. */
  close(): void {
    this.isClosed = true;
  }

  // Closures, so that a target that is printed shows neither keys nor settings.
  private signingTarget(destination: Destination): SigningTarget {
    const { audience, profile, signing, grants } = destination.target;
    const sign = async (request: RequestToDestination): Promise<string> => {
      this.assertOpen();
      assertOutgoingRequest({ ...request, url: destination.path });
      return await this.signTo(destination, request);
    };
    return { audience, profile, signing, grants, sign };
  }

  private async signTo(destination: Destination, request: RequestToDestination): Promise<string> {
    const stopwatch = this.report.start();
    const token = await signRequest(request, destination, this.signer());
    // It may have been closed since the turn of this request.
    this.assertOpen();
    if (stopwatch) this.report.signed(request, destination.target, stopwatch);
    return token;
  }

  private signer(): Signer {
    const { settings, sending, tokenIds, turn } = this;
    const { issuer, now } = settings;
    return { issuer, now, sending, tokenIds, turn, assertOpen: () => this.assertOpen() };
  }

  private assertOpen(): void {
    if (this.isClosed) throw new ServiceSigningError('service_closed');
  }
}
