import type { Environment } from '../setup/environment.js';
import { MAIL_JOB, MAIL_PATTERN, MAIL_QUEUE } from '../setup/mail-order.js';
import { CENSUS_USERS, SERVICE_URIS } from '../setup/services.js';
import { type Answer, describe, orNoAnswer, send, type SentRequest } from './http-client.js';
import type { Mailbox } from './mailbox.js';
import type { Hop } from './messages.js';
import type { Narrator } from './narrator.js';
import type { ServiceProcesses } from './service-processes.js';

export const NEWCOMER = `${CENSUS_USERS}42/`;
export const OPERATOR = `${CENSUS_USERS}21/`;

const NOTIFICATION_URI = /^https:\/\/herald\.service\/notification\/([0-9a-f-]{36})\/$/;

/** How a mail goes from Herald to the courier, and what its token says of that. */
const WAY_WORDS = {
  memory: 'Herald hands it over by TCP, a signed message',
  redis: 'it waits in BullMQ, a signed job',
} as const;
const REQUESTS = {
  memory: `SEND ${MAIL_PATTERN}`,
  redis: `JOB ${JSON.stringify(['bull', MAIL_QUEUE, MAIL_JOB])}`,
} as const;

/** What Edge answers to `POST /welcome/`, and not to the login before it. */
const isWelcome = ({ request }: Hop): boolean => request === 'POST /welcome/';
const isFromCourier = ({ claims }: Hop): boolean => claims?.['iss'] === SERVICE_URIS.courier;

/** What the story needs: the services, and the mail server where it is ours. */
export interface Stage {
  readonly environment: Environment;
  readonly services: ServiceProcesses;
  readonly mailbox: Mailbox | undefined;
  /** Herald's key file, where it is ours to rotate. */
  readonly keyRing?: string;
}

/**
 * The operator logs in at Edge and has a user welcomed: Edge asks another.service, that asks Herald, Herald asks Census, and
 * queues a mail. The courier takes it, asks Census for the address, and writes it. Every hop is shown with the claims of its
 * token, and the grant once.
 *
 * @returns the URI of the notification
 */
export async function playStory(stage: Stage, narrator: Narrator): Promise<string | undefined> {
  narrator.heading('The operator (user 21) logs in at Edge, and has user 42 welcomed');
  const hops = Promise.all([
    stage.services.nextHop('edge', isWelcome),
    stage.services.nextHop('another'),
    stage.services.nextHop('herald'),
    stage.services.nextHop('census'),
    stage.services.nextMail(),
    stage.services.nextHop('census', isFromCourier),
  ]);
  const [answer, [atEdge, atAnother, atHerald, atCensus, atCourier, mailAtCensus]] =
    await Promise.all([
      orNoAnswer(
        logIn(stage.environment, OPERATOR).then(
          async (cookie) => await welcome(stage.environment, cookie),
        ),
      ),
      hops,
    ]);

  showHop(narrator, 'edge.service', atEdge, '201');
  narrator.note('A browser asks: it has a session, and no token.');
  showHop(narrator, 'another.service', atAnother, '201');
  narrator.claims(atAnother?.claims, {
    iss: SERVICE_URIS.edge,
    aud: SERVICE_URIS.another,
    sub: OPERATOR,
    req: 'POST /welcome/',
  });
  narrator.note('Edge adds a grant: its signed word that the user is here.');
  narrator.claims(atAnother?.grant, { iss: SERVICE_URIS.edge, sub: OPERATOR });
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
  narrator.note('The same grant comes along, byte for byte: the claim tth is its hash.');
  showLocation(answer, narrator);

  const { kind } = stage.environment.mailQueue;
  narrator.heading(`Meanwhile the mail: ${WAY_WORDS[kind]}`);
  narrator.fact('courier.service', atCourier?.request ?? '(none)');
  narrator.claims(atCourier?.claims, {
    iss: SERVICE_URIS.herald,
    aud: SERVICE_URIS.courier,
    sub: OPERATOR,
    req: REQUESTS[kind],
  });
  narrator.note('It names a user, and no address: the courier asks Census.');
  showHop(narrator, 'census.service', mailAtCensus, '200');
  narrator.claims(mailAtCensus?.claims, {
    iss: SERVICE_URIS.courier,
    aud: SERVICE_URIS.census,
    sub: OPERATOR,
    req: 'GET /user/42/address/',
  });
  const all = [atAnother, atHerald, atCensus, atCourier, mailAtCensus];
  const hashes = all.map((hop) => hop?.claims?.['tth']);
  narrator.check('one grant should travel along', isOneText(hashes));
  if (answer.status === 201) await showMail(stage.mailbox, idOf(answer), narrator);
  return NOTIFICATION_URI.test(answer.location ?? '') ? answer.location : undefined;
}

/** The id in the URI of the notification: that of its mail too. */
export function idOf({ location = '' }: Pick<Answer, 'location'>): string {
  return NOTIFICATION_URI.exec(location)?.[1] ?? '';
}

/** What the browser sends when a user logs in. @returns the cookie of the session */
export async function logIn(
  environment: Pick<Environment, 'baseUrls'>,
  user = OPERATOR,
): Promise<string> {
  const { cookie } = await send(toEdge(environment, 'session', { user }));
  return cookie ?? '';
}

/** What the browser sends next. @param cookie of the session */
export async function welcome(
  environment: Pick<Environment, 'baseUrls'>,
  cookie: string,
): Promise<Answer> {
  const { headers, ...order } = toEdge(environment, 'welcome/', { user: NEWCOMER });
  return await send({ ...order, headers: { ...headers, cookie } });
}

function toEdge(
  { baseUrls }: Pick<Environment, 'baseUrls'>,
  path: string,
  content: object,
): SentRequest {
  const { href, origin } = new URL(path, baseUrls.edge);
  const headers = { 'content-type': 'application/json', origin };
  return { method: 'POST', url: href, headers, body: JSON.stringify(content) };
}

function isOneText(values: readonly unknown[]): boolean {
  return typeof values[0] === 'string' && new Set(values).size === 1;
}

function showHop(narrator: Narrator, label: string, hop: Hop | undefined, expected: string): void {
  narrator.exchange(label, hop?.request ?? '(none)', String(hop?.status ?? 'no request'), expected);
}

async function showMail(
  mailbox: Mailbox | undefined,
  id: string,
  narrator: Narrator,
): Promise<void> {
  if (!mailbox) {
    narrator.fact('e-mail', 'taken by the server of SMTP_URL');
    return;
  }
  const { to, message } = await mailbox.mailWithId(id);
  narrator.heading('The e-mail, as the mail server received it');
  narrator.quote(message);
  narrator.check('it should go to user 42 alone', to.join() === 'user42@census.service');
  narrator.check(
    'its subject should be: Welcome, Census User',
    /^Subject: Welcome, Census User\r?$/m.test(message),
  );
}

function showLocation(answer: Answer, narrator: Narrator): void {
  narrator.heading('The answer to the first request, that of the browser');
  narrator.exchange('edge.service', 'POST /welcome/', describe(answer), '201');
  narrator.fact('Location', answer.location ?? '(none)');
  const isNotification = NOTIFICATION_URI.test(answer.location ?? '');
  narrator.check('Location should be the URI of a notification', isNotification);
}
