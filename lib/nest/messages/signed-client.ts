import { connectable, defer, from, mergeMap, type Observable, Subject } from 'rxjs';
import { grantToSend } from '../../clients/signed-call.js';
import {
  createSlot,
  type KeySource,
  type MessageTarget,
  type MessageVerb,
  type SignedMessage,
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
} from './sending-transports.js';

/** Whom a client calls, and how. */
export interface SignedClientSettings extends MessageTarget {
  readonly transport: SendingTransport;
  /** The keys of the called service; undefined where its answers are taken as they come. */
  readonly answerKeys: KeySource | undefined;
}

type Send = (pattern: unknown, data: unknown) => Observable<unknown>;
type CreatePacket = (this: object, pattern: unknown, data: unknown) => { metadata?: object };

/** What of a `ClientProxy` is replaced. Before Nest 12.0.4 there is no `createPacket`. */
interface Methods {
  send: Send;
  emit: Send;
  createPacket?: CreatePacket;
}

const SIGNED = createSlot<true>();

/** Makes a client of a broker sign what it sends, in place: each class that has it injected has the signing one. */
export function signClient(
  client: object,
  settings: SignedClientSettings,
  signer: ClientSigner,
): void {
  if (SIGNED.get(client)) return;
  SIGNED.set(client, true);
  const methods = client as Methods;
  const [send, emit] = [methods.send.bind(client), methods.emit.bind(client)];
  if (methods.createPacket) methods.createPacket = carryingMetadata(methods.createPacket);
  const calls = new SignedCalls(settings, signer);
  methods.send = (pattern, data) => calls.send(pattern, data, send);
  methods.emit = (pattern, data) => calls.emit(pattern, data, emit);
}

/** Nest asks this for each packet that leaves, and lets it hold metadata. */
function carryingMetadata(create: CreatePacket): CreatePacket {
  return function (pattern, given) {
    if (!(given instanceof DataWithMetadata)) return Reflect.apply(create, this, [pattern, given]);
    const packet = Reflect.apply(create, this, [pattern, given.data]);
    packet.metadata = { ...packet.metadata, ...given.metadata };
    return packet;
  };
}

/** A message as its sender gave it, and for whom it is sent. */
interface Draft {
  readonly verb: MessageVerb;
  readonly pattern: unknown;
  readonly unpacked: UnpackedData;
  subject(): CallSubject;
}

class SignedCalls {
  constructor(
    private readonly settings: SignedClientSettings,
    private readonly signer: ClientSigner,
  ) {}

  /** Signs again for each subscription: a retry is another message. For whom is decided when the method is called. */
  send(pattern: unknown, given: unknown, send: Send): Observable<unknown> {
    const { subjectOf, unpacked } = this.read(given);
    return defer(() => {
      const draft = { verb: 'SEND', pattern, unpacked, subject: subjectOf } as const;
      return from(this.sign(draft)).pipe(
        mergeMap(({ packed, tokenId }) => this.believed(send(pattern, packed), tokenId)),
      );
    });
  }

  /** Sent at once, also where nobody subscribes: as Nest does. */
  emit(pattern: unknown, given: unknown, emit: Send): Observable<unknown> {
    const { subjectOf, unpacked } = this.read(given);
    const draft = { verb: 'EMIT', pattern, unpacked, subject: subjectOf } as const;
    const source = defer(() =>
      from(this.sign(draft)).pipe(mergeMap(({ packed }) => emit(pattern, packed))),
    );
    const hot = connectable(source, { connector: () => new Subject(), resetOnDisconnect: false });
    hot.connect();
    return hot;
  }

  private read(given: unknown): { subjectOf: () => CallSubject; unpacked: UnpackedData } {
    const { data, subject } = readAddressed(given, this.signer);
    return { unpacked: this.settings.transport.unpack(data), subjectOf: subject };
  }

  private believed(answers: Observable<unknown>, tokenId: string): Observable<unknown> {
    const { answerKeys, audience } = this.settings;
    if (!answerKeys) return answers;
    const { issuer } = this.signer.serviceAuth.settings;
    return believedAnswers(answers, { answerer: audience, asker: issuer, tokenId }, answerKeys);
  }

  private async sign(draft: Draft): Promise<{ packed: unknown } & SignedMessage> {
    const { settings } = this;
    const { serviceAuth } = this.signer;
    try {
      const { text, data } = writeMessageText(draft.unpacked.data);
      const caller = draft.subject();
      const { subject } = caller;
      const grant = await grantToSend(caller, settings, serviceAuth)?.text();
      const route = settings.transport.routeOf(draft.pattern, draft.verb);
      const wantsAnswer = draft.verb === 'SEND' && settings.answerKeys !== undefined;
      const message = { verb: draft.verb, route, text, subject, grant, wantsAnswer };
      const signed = await serviceAuth.signMessage(message, settings);
      return { ...signed, packed: await draft.unpacked.pack(data, headersOf(signed, grant)) };
    } catch (error) {
      serviceAuth.noteSigningFailure(error, { ...settings, signing: 'required' });
      throw error;
    }
  }
}

function headersOf({ token }: SignedMessage, grant: string | undefined): MessageHeaders {
  return grant === undefined ? { JWT: token } : { JWT: token, 'Txn-Token': grant };
}
