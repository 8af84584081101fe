import type { Environment } from '../setup/environment.js';
import { CENSUS_USERS, SERVICE_URIS } from '../setup/services.js';
import { type Answer, describe, send } from './http-client.js';
import type { Mailbox } from './mailbox.js';
import type { Hop } from './messages.js';
import type { Narrator } from './narrator.js';
import type { ServiceProcesses } from './service-processes.js';

export const NEWCOMER = `${CENSUS_USERS}42/`;
export const OPERATOR = `${CENSUS_USERS}21/`;

const NOTIFICATION_URI = /^https:\/\/herald\.service\/notification\/[0-9a-f-]{36}\/$/;

/** What the story needs: the services, and the mail server where it is ours. */
export interface Stage {
  readonly environment: Environment;
  readonly services: ServiceProcesses;
  readonly mailbox: Mailbox | undefined;
}

/**
 * The operator has a user welcomed: another.service asks Herald, Herald asks Census, and a mail goes
 * out. Every hop is shown with the claims of its token.
 *
 * @returns the URI of the notification
 */
export async function playStory(stage: Stage, narrator: Narrator): Promise<string | undefined> {
  narrator.heading('The operator (user 21) has user 42 welcomed');
  const mailsBefore = stage.mailbox?.received.length ?? 0;
  const hops = Promise.all([
    stage.services.nextHop('another'),
    stage.services.nextHop('herald'),
    stage.services.nextHop('census'),
  ]);
  const [answer, [atAnother, atHerald, atCensus]] = await Promise.all([
    welcome(stage.environment),
    hops,
  ]);

  showHop(narrator, 'another.service', atAnother, '201');
  narrator.fact('', '(the public edge: no token)');
  showHop(narrator, 'herald.service', atHerald, '201');
  narrator.claims(atHerald?.claims, {
    iss: SERVICE_URIS.another,
    aud: SERVICE_URIS.herald,
    sub: OPERATOR,
    req: 'POST /notification/',
  });
  showHop(narrator, 'census.service', atCensus, '200');
  narrator.claims(atCensus?.claims, {
    iss: SERVICE_URIS.herald,
    aud: SERVICE_URIS.census,
    sub: OPERATOR,
    req: 'GET /user/42/',
  });
  if (answer.status === 201) await showMail(stage.mailbox, mailsBefore, narrator);
  return showLocation(answer, narrator);
}

/** What a browser would send. */
export async function welcome(
  { baseUrls }: Pick<Environment, 'baseUrls'>,
  as = OPERATOR,
): Promise<Answer> {
  return await send({
    method: 'POST',
    url: new URL('welcome/', baseUrls.another).href,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user: NEWCOMER, as }),
  });
}

function showHop(narrator: Narrator, label: string, hop: Hop | undefined, expected: string): void {
  narrator.exchange(label, hop?.request ?? '(none)', String(hop?.status), expected);
}

async function showMail(
  mailbox: Mailbox | undefined,
  mailsBefore: number,
  narrator: Narrator,
): Promise<void> {
  if (!mailbox) {
    narrator.fact('e-mail', 'taken by the server of SMTP_URL');
    return;
  }
  const { to, message } = await mailbox.mailAfter(mailsBefore);
  narrator.heading('The e-mail, as the mail server received it');
  narrator.quote(message);
  narrator.check('it should go to user 42 alone', to.join() === 'user42@census.service');
  narrator.check(
    'its subject should be: Welcome, Census User',
    /^Subject: Welcome, Census User\r?$/m.test(message),
  );
}

function showLocation(answer: Answer, narrator: Narrator): string | undefined {
  narrator.heading('The answer to whoever asked');
  narrator.exchange('another.service', 'POST /welcome/', describe(answer), '201');
  narrator.fact('Location', answer.location ?? '(none)');
  const isNotification = NOTIFICATION_URI.test(answer.location ?? '');
  narrator.check('Location should be the URI of a notification', isNotification);
  return isNotification ? answer.location : undefined;
}
