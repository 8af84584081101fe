import { Inject, Injectable } from '@nestjs/common';
import type { Answer } from '../story/http-client.js';
import type { ReceivedMail } from '../story/mailbox.js';
import type { Hop } from '../story/messages.js';
import { logIn, type Stage, welcome } from '../story/story.js';
import { STAGE } from './stage.token.js';

/** Who takes part, from left to right. */
export type Party = 'you' | 'edge' | 'another' | 'herald' | 'census' | 'mail';

/** One arrow of the sequence diagram. */
export interface Step {
  readonly kind: 'request' | 'answer' | 'mail';
  readonly from: Party;
  readonly to: Party;
  /** A request line, a status, or the subject of a mail. */
  readonly line: string;
  /** Of an answer, and of the request it belongs to. */
  readonly status?: number;
  /** Since the story began; undefined: not measured. */
  readonly atMilliseconds?: number;
  /** Of the token that a request brought; none where none was asked for. */
  readonly token?: Pick<Hop, 'header' | 'claims' | 'grant'>;
  /** Of the mail, as it arrived. */
  readonly message?: string;
  /** The JSON of the last answer. */
  readonly body?: unknown;
}

export interface StoryResult {
  readonly steps: readonly Step[];
}

/** Plays the story of the terminal again, and tells what the services report as the arrows of a diagram. */
@Injectable()
export class StoryService {
  constructor(@Inject(STAGE) private readonly stage: Stage) {}

  /** @param as the URI of the user who logs in, and has user 42 welcomed */
  async play(as: string): Promise<StoryResult> {
    const { services, mailbox, environment } = this.stage;
    const mailsBefore = mailbox?.received.length ?? 0;
    const isOurs = ({ claims }: Hop): boolean => claims?.['sub'] === as;
    const cookie = await logIn(environment, as);
    const hops = Promise.all([
      services.nextHop('edge', ({ request }) => request === 'POST /welcome/'),
      services.nextHop('another', isOurs),
      services.nextHop('herald', isOurs),
      services.nextHop('census', isOurs),
    ]);
    const [answer, [edge, another, herald, census]] = await Promise.all([
      welcome(environment, cookie),
      hops,
    ]);
    const hasMail = answer.status === 201;
    const mail = hasMail ? await mailbox?.mailAfter(mailsBefore) : undefined;
    return { steps: toSteps({ edge, another, herald, census, hasMail, mail, answer }) };
  }
}

interface Course {
  readonly edge: Hop | undefined;
  readonly another: Hop | undefined;
  readonly herald: Hop | undefined;
  readonly census: Hop | undefined;
  readonly hasMail: boolean;
  /** undefined when it went to a mail server that is not ours. */
  readonly mail: ReceivedMail | undefined;
  readonly answer: Answer;
}

/** In the order in which they happen: calls are nested, so the inner ones are answered first. */
function toSteps({ edge, another, herald, census, hasMail, mail, answer }: Course): Step[] {
  const startedAt = edge?.arrivedAt ?? 0;
  const [askEdge, answerEdge] = toArrows('you', 'edge', edge, startedAt);
  const [askAnother, answerAnother] = toArrows('edge', 'another', another, startedAt);
  const [askHerald, answerHerald] = toArrows('another', 'herald', herald, startedAt);
  const [askCensus, answerCensus] = toArrows('herald', 'census', census, startedAt);
  const steps = [
    askEdge,
    askAnother,
    askHerald,
    askCensus,
    answerCensus,
    hasMail ? toMailStep(mail) : undefined,
    answerHerald,
    answerAnother,
    answerEdge && { ...answerEdge, body: answer.body },
  ];
  return steps.filter((step) => step !== undefined);
}

function toArrows(from: Party, to: Party, hop: Hop | undefined, startedAt: number): Step[] {
  if (!hop) return [];
  const { request, status, header, claims, grant, arrivedAt, answeredAt } = hop;
  const token = claims && { header, claims, grant };
  return [
    { kind: 'request', from, to, line: request, token, atMilliseconds: arrivedAt - startedAt },
    {
      kind: 'answer',
      from: to,
      to: from,
      line: String(status),
      status,
      atMilliseconds: answeredAt - startedAt,
    },
  ];
}

function toMailStep(mail: ReceivedMail | undefined): Step {
  const subject = /^Subject: (.*?)\r?$/m.exec(mail?.message ?? '')?.[1] ?? 'e-mail';
  return { kind: 'mail', from: 'herald', to: 'mail', line: subject, message: mail?.message };
}
