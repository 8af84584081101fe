import { Controller, type Type, UseGuards } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import {
  AllowIssuers,
  OptionalServiceAuth,
  RequireSubject,
  ReportOnly,
  type ServiceAuthModuleOptions,
  ServiceGrant,
  ServiceJwtGuard,
  ServiceSubject,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { createKey, type TestKey } from '../../support/keys/keys.js';
import { acknowledge, heraldKey } from '../../support/messages/messaging-services.js';

export { CENSUS, HERALD, heraldKey, USER } from '../../support/messages/messaging-services.js';

/** Trusted, with a key of its own. */
export const SCRIBE = 'https://scribe.service/';
/** Trusted for HTTP, and for jobs, alone. */
export const BROWSER = 'https://browser.service/';
export const WORKER = 'https://worker.service/';
/** Trusted in the original profile. */
export const VETERAN = 'https://veteran.service/';
/** Signs the bytes of whole messages. */
export const FOREIGNER = 'https://foreigner.service/';
/** Must prove that the user asked. */
export const COURIER = 'https://courier.service/';
/** Vouches for users. */
export const EDGE = 'https://edge.service/';
export const TRUST_DOMAIN = 'https://test.example.org/';
export const TOPIC = 'https://census.service/topic/users/';
export const OTHER_TOPIC = 'https://census.service/topic/houses/';

export const scribeKey = createKey();
export const browserKey = createKey();
export const workerKey = createKey();
export const veteranKey = createKey();
export const foreignerKey = createKey();
export const courierKey = createKey();
export const edgeKey = createKey();
export const strangerKey = createKey();

const trust = (issuer: string, { publicPem }: TestKey, more: object = {}) => ({
  issuer,
  publicKey: publicPem,
  subjectProof: { mode: 'off' } as const,
  ...more,
});

const proved = { subjectProof: { mode: 'required', withoutSubject: 'refused' } };

/** Who may call the attacked service. */
export const attackedTrust = {
  trustDomain: TRUST_DOMAIN,
  originators: [
    { issuer: EDGE, publicKey: edgeKey.publicPem, subjects: ['https://census.service/user/'] },
  ],
  trustedIssuers: [
    trust('https://herald.service/', heraldKey),
    trust(SCRIBE, scribeKey),
    trust(BROWSER, browserKey, { transports: ['http'] }),
    trust(WORKER, workerKey, { transports: ['jobs'] }),
    trust(VETERAN, veteranKey, { profile: 'original' }),
    trust(FOREIGNER, foreignerKey, { messages: { bodies: 'raw' } }),
    trust(COURIER, courierKey, proved),
  ],
  topics: [TOPIC],
} satisfies Partial<ServiceAuthModuleOptions>;

/** What a handler has let in. */
export interface LetIn {
  readonly handler: string;
  readonly data: unknown;
  readonly subject?: unknown;
  readonly grant?: unknown;
}

/** What the handlers of the attacked service have let in, of the service that was attacked last. */
export const letIn: LetIn[] = [];

let wake: (() => void) | undefined;

/** Resolves when so many messages were let in. */
export async function letInOf(count: number): Promise<readonly LetIn[]> {
  while (letIn.length < count) await new Promise<void>((resolve) => (wake = resolve));
  return letIn;
}

function note(context: unknown, entry: LetIn): { let: 'in' } {
  acknowledge(context as object);
  letIn.push(entry);
  wake?.();
  return { let: 'in' };
}

/** Each kind of handler, for requests under `send.<name>` and for events under `emit.<name>`. */
@Controller()
@UseGuards(ServiceJwtGuard)
export class AttackedController {
  @MessagePattern('send.plain')
  sendPlain(@Payload() data: unknown, @Ctx() context: unknown) {
    return note(context, { handler: 'send.plain', data });
  }

  @EventPattern('emit.plain')
  emitPlain(@Payload() data: unknown, @Ctx() context: unknown) {
    note(context, { handler: 'emit.plain', data });
  }

  @MessagePattern('send.scribe')
  @AllowIssuers(SCRIBE)
  sendScribe(@Payload() data: unknown, @Ctx() context: unknown) {
    return note(context, { handler: 'send.scribe', data });
  }

  @EventPattern('emit.scribe')
  @AllowIssuers(SCRIBE)
  emitScribe(@Payload() data: unknown, @Ctx() context: unknown) {
    note(context, { handler: 'emit.scribe', data });
  }

  @MessagePattern('send.user')
  @RequireSubject()
  sendUser(@Payload() data: unknown, @Ctx() context: unknown) {
    return note(context, { handler: 'send.user', data });
  }

  @EventPattern('emit.user')
  @RequireSubject()
  emitUser(@Payload() data: unknown, @Ctx() context: unknown) {
    note(context, { handler: 'emit.user', data });
  }

  @MessagePattern('send.subject')
  sendSubject(
    @Payload() data: unknown,
    @ServiceSubject() subject: unknown,
    @Ctx() context: unknown,
  ) {
    return note(context, { handler: 'send.subject', data, subject });
  }

  @EventPattern('emit.subject')
  emitSubject(
    @Payload() data: unknown,
    @ServiceSubject() subject: unknown,
    @Ctx() context: unknown,
  ) {
    note(context, { handler: 'emit.subject', data, subject });
  }

  @MessagePattern('send.grant')
  sendGrant(@Payload() data: unknown, @ServiceGrant() grant: unknown, @Ctx() context: unknown) {
    return note(context, { handler: 'send.grant', data, grant });
  }

  @EventPattern('emit.grant')
  emitGrant(@Payload() data: unknown, @ServiceGrant() grant: unknown, @Ctx() context: unknown) {
    note(context, { handler: 'emit.grant', data, grant });
  }

  @MessagePattern('send.optional')
  @OptionalServiceAuth()
  sendOptional(
    @Payload() data: unknown,
    @ServiceSubject({ optional: true }) subject: unknown,
    @Ctx() context: unknown,
  ) {
    return note(context, { handler: 'send.optional', data, subject });
  }

  @EventPattern('emit.optional')
  @OptionalServiceAuth()
  emitOptional(
    @Payload() data: unknown,
    @ServiceSubject({ optional: true }) subject: unknown,
    @Ctx() context: unknown,
  ) {
    note(context, { handler: 'emit.optional', data, subject });
  }

  @MessagePattern('send.open')
  @SkipServiceAuth()
  sendOpen(@Payload() data: unknown, @Ctx() context: unknown) {
    return note(context, { handler: 'send.open', data });
  }

  @EventPattern('emit.open')
  @SkipServiceAuth()
  emitOpen(@Payload() data: unknown, @Ctx() context: unknown) {
    note(context, { handler: 'emit.open', data });
  }

  @MessagePattern('send.reported')
  @ReportOnly()
  sendReported(@Payload() data: unknown, @Ctx() context: unknown) {
    return note(context, { handler: 'send.reported', data });
  }

  @EventPattern('emit.reported')
  @ReportOnly()
  emitReported(@Payload() data: unknown, @Ctx() context: unknown) {
    note(context, { handler: 'emit.reported', data });
  }
}

export const ATTACKED_CONTROLLERS: readonly Type[] = [AttackedController];
