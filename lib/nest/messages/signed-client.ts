import { AsyncResource } from 'node:async_hooks';
import { defer, from, mergeMap, Observable, Subject } from 'rxjs';
import { grantToSend } from '../../clients/signed-call.js';
import {
  type KeySource,
  type MessageTarget,
  type MessageVerb,
  ServiceSigningError,
  writeMessageText,
} from '../../core/index.js';
import type { CallSubject } from '../../for-whom/call-subject.js';
import { believedAnswers } from './believed-answers.js';
import { type ClientSigner, readAddressed } from './message-subject.js';
import {
  DataWithMetadata,
  type MessageHeaders,
  type SendingTransport,
  type UnpackedData,
  unsigned,
} from './sending-transports.js';

/** Whom a client calls, and how. */
export interface SignedClientSettings extends MessageTarget {
  readonly transport: SendingTransport;
  /** The keys of the called service; undefined where its answers are taken as they come. */
  readonly answerKeys: KeySource | undefined;
  /** `none`: the client only emits. */
  readonly answers: 'signed' | 'unsigned' | 'none';
}

type Send = (pattern: unknown, data: unknown) => Observable<unknown>;
type CreatePacket = (this: object, pattern: unknown, data: unknown) => { metadata?: object };

/** What of a `ClientProxy` is replaced. Before Nest 12.0.4 there is no `createPacket`. */
interface Methods {
  connect(): Promise<unknown>;
  send: Send;
  emit: Send;
  createPacket?: CreatePacket;
}

/** Makes a client of a broker sign what it sends, in place: each class that has it injected has the signing one. Once. */
export function signClient(
  client: object,
  settings: SignedClientSettings,
  signer: ClientSigner,
): void {
  const methods = client as Methods;
  const [send, emit] = [methods.send.bind(client), methods.emit.bind(client)];
  const connect = methods.connect.bind(client);
  if (methods.createPacket) methods.createPacket = carryingMetadata(methods.createPacket);
  const calls = new SignedCalls(settings, signer);
  methods.send = (pattern, data) => calls.send(pattern, data, { connect, send });
  methods.emit = (pattern, data) => calls.emit(pattern, data, emit);
}

/** Nest asks this for each packet that leaves, and lets it hold metadata. */
function carryingMetadata(create: CreatePacket): CreatePacket {
  return function (pattern, given) {
    if (!(given instanceof DataWithMetadata)) return Reflect.apply(create, this, [pattern, given]);
    const packet = Reflect.apply(create, this, [pattern, given.data]);
    packet.metadata = { ...unsigned({ ...packet.metadata }), ...given.metadata };
    return packet;
  };
}

/** The methods of Nest with which a client asks. */
type Asked = Pick<Methods, 'connect' | 'send'>;

/** A message as its sender gave it, and for whom it is sent. */
interface Draft {
  readonly pattern: unknown;
  readonly unpacked: UnpackedData;
  readonly subject: () => CallSubject;
}

/** A message as it was when it was to be sent. */
interface Written {
  readonly verb: MessageVerb;
  readonly route: string;
  readonly text: string;
  readonly caller: CallSubject;
  readonly unpacked: UnpackedData;
}

/** A message for the client of the broker. */
interface Packed {
  readonly packed: unknown;
  readonly tokenId: string;
}

/** What is called with a message that is signed, or with what prevents it: in the async context of its call. */
interface Outcome {
  resolve(packed: Packed): void;
  reject(error: unknown): void;
}

class SignedCalls {
  constructor(
    private readonly settings: SignedClientSettings,
    private readonly signer: ClientSigner,
  ) {}

  /** Signs again for each subscription: a retry is another message. For whom is decided when the method is called. */
  send(pattern: unknown, given: unknown, client: Asked): Observable<unknown> {
    const draft = this.read(pattern, given);
    const answers = defer(() =>
      from(this.signRequest(draft)).pipe(
        mergeMap(({ packed, tokenId }) =>
          // Before it is sent, a failure is the client's own: Nest rejects with a text then, as brokers answer with one.
          from(client.connect()).pipe(
            mergeMap(() => this.believed(client.send(pattern, packed), tokenId)),
          ),
        ),
      ),
    );
    return deliveredInSubscription(answers);
  }

  /** Sent at once, also where nobody subscribes: as Nest does. */
  emit(pattern: unknown, given: unknown, emit: Send): Observable<unknown> {
    const sent = new Subject<unknown>();
    this.sign('EMIT', this.read(pattern, given), {
      // A client that is closed may throw.
      resolve: ({ packed }) => void defer(() => emit(pattern, packed)).subscribe(sent),
      reject: (error) => sent.error(error),
    });
    return sent.asObservable();
  }

  private read(pattern: unknown, given: unknown): Draft {
    const { data, subject } = readAddressed(given, this.signer);
    return { pattern, unpacked: this.settings.transport.unpack(data), subject };
  }

  private believed(answers: Observable<unknown>, tokenId: string): Observable<unknown> {
    const { answerKeys, audience } = this.settings;
    if (!answerKeys) return answers;
    const { issuer } = this.signer.serviceAuth.settings;
    return believedAnswers(answers, { answerer: audience, asker: issuer, tokenId }, answerKeys);
  }

  /** A message whose answer nobody can verify now is not sent: its handler would run, and its caller would send it again. */
  private async signRequest(draft: Draft): Promise<Packed> {
    const isUsable = this.settings.answerKeys?.assertUsable();
    if (isUsable) await isUsable.catch((error: unknown) => this.failBefore(error));
    return await new Promise((resolve, reject) => {
      this.sign('SEND', draft, { resolve, reject });
    });
  }

  /**
   * Writes the message now, and signs it when signatures are made. With a promise for each step instead, 5,000 messages in
   * one turn kept the event loop busy for 24 ms, and not for 14.
   */
  private sign(verb: MessageVerb, draft: Draft, outcome: Outcome): void {
    try {
      const written = this.write(verb, draft);
      const here = new AsyncResource('ServiceAuthMessage');
      const finish = () => void this.finish(written, outcome);
      this.signer.serviceAuth.whenSigning(() => here.runInAsyncScope(finish));
    } catch (error) {
      this.fail(error, outcome);
    }
  }

  private fail(error: unknown, outcome: Outcome): void {
    this.note(error);
    outcome.reject(error);
  }

  private failBefore(error: unknown): never {
    this.note(error);
    throw error;
  }

  private note(error: unknown): void {
    const { audience } = this.settings;
    const target = { audience, signing: 'required', transport: 'messages' } as const;
    this.signer.serviceAuth.noteSigningFailure(error, target);
  }

  /** What may change before a message is signed: its data, and for whom it is sent. */
  private write(verb: MessageVerb, { pattern, unpacked, subject }: Draft): Written {
    const { settings } = this;
    if (verb === 'SEND') assertAnswered(settings);
    const text = writeMessageText(unpacked.data);
    const caller = subject();
    const route = settings.transport.routeOf(pattern, verb);
    return { verb, route, text, caller, unpacked };
  }

  private async finish(written: Written, outcome: Outcome): Promise<void> {
    let packed: Packed;
    try {
      packed = await this.pack(written);
    } catch (error) {
      this.fail(error, outcome);
      return;
    }
    outcome.resolve(packed);
  }

  private async pack({ verb, route, text, caller, unpacked }: Written): Promise<Packed> {
    const { settings } = this;
    const { serviceAuth } = this.signer;
    const held = grantToSend(caller, settings, serviceAuth);
    const grant = held && (await held.text());
    const wantsAnswer = verb === 'SEND' && settings.answerKeys !== undefined;
    const message = { verb, route, text, subject: caller.subject, grant, wantsAnswer };
    const { token, tokenId, data } = await serviceAuth.signMessageNow(message, settings);
    return { tokenId, packed: await unpacked.pack(data, headersOf(token, grant)) };
  }
}

/**
 * A connection emits answers in the async context of the call that opened it. What is piped to the answers of another call
 * would send its own calls for the user of the first one.
 */
function deliveredInSubscription(answers: Observable<unknown>): Observable<unknown> {
  return new Observable((subscriber) => {
    const here = new AsyncResource('ServiceAuthAnswers');
    return answers.subscribe({
      next: (value) => here.runInAsyncScope(() => subscriber.next(value)),
      error: (error: unknown) => here.runInAsyncScope(() => subscriber.error(error)),
      complete: () => here.runInAsyncScope(() => subscriber.complete()),
    });
  });
}

/** @throws ServiceSigningError `message_unsignable` for a client whose answers nobody has decided to believe */
function assertAnswered({ answers }: SignedClientSettings): void {
  if (answers !== 'none') return;
  throw new ServiceSigningError('message_unsignable', {
    detail: "its client only emits: answers: 'none' in ServiceMessagesModule.forClients()",
  });
}

function headersOf(token: string, grant: string | undefined): MessageHeaders {
  return grant === undefined ? { JWT: token } : { JWT: token, 'Txn-Token': grant };
}
