import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServiceAuth, type ServiceAuth } from '../service-auth.js';
import { type DemoService, OPERATOR, signerOf, URIS, USERS } from './applications.js';
import { type Hop, openStage, type Stage } from './stage.js';

/** What the demo has just done or seen. */
export type DemoStep =
  | {
      readonly kind: 'service';
      readonly uri: string;
      readonly url: string;
      readonly does: string;
    }
  | { readonly kind: 'chapter'; readonly title: string }
  | {
      /** A request of the story. */
      readonly kind: 'hop';
      readonly from: string;
      readonly to: string;
      readonly request: string;
      readonly answer: string;
      readonly expected: string;
    }
  | {
      readonly kind: 'token';
      readonly title: string;
      readonly claims: Readonly<Record<string, unknown>>;
    }
  | {
      /** A request that is wrong in one thing, or in none. */
      readonly kind: 'attempt';
      readonly title: string;
      readonly answer: string;
      readonly expected: string;
    };

/** Calls the listener with each step, and answers whether every answer was the expected one. */
export async function playDemo(tell: (step: DemoStep) => void): Promise<boolean> {
  const stage = await openStage();
  let isGood = true;
  const note = (step: DemoStep): void => {
    if ('expected' in step && step.answer !== step.expected) isGood = false;
    tell(step);
  };
  try {
    introduce(stage, note);
    await playStory(stage, note);
    await playAttempts(stage, note);
    await playTheft(stage, note);
  } finally {
    await stage.close();
  }
  return isGood;
}

function introduce({ urls }: Stage, note: (step: DemoStep) => void): void {
  const rows = [
    ['edge', 'Users log in here. User 21 is logged in.'],
    ['herald', 'Notifies users, for the user who asks.'],
    ['census', 'Knows the users, and who may read whom.'],
  ] as const;
  for (const [name, does] of rows)
    note({ kind: 'service', uri: URIS[name], url: urls[name], does });
}

const JSON_TYPE = { 'content-type': 'application/json' };
const ORDER = JSON.stringify({ user: `${USERS}42/` });

/** The browser of user 21 asks Edge, Edge asks Herald, and Herald asks Census: each for user 21. */
async function playStory(stage: Stage, note: (step: DemoStep) => void): Promise<void> {
  note({
    kind: 'chapter',
    title: 'User 21 has user 42 notified: each call is signed, for user 21',
  });
  const url = `${stage.urls.edge}welcome/`;
  await send({ method: 'POST', url, headers: JSON_TYPE, body: ORDER });
  const edge = stage.hops.find(({ service }) => service === 'edge');
  const herald = stage.hops.find(({ service }) => service === 'herald');
  const census = stage.hops.find(({ service }) => service === 'census');
  note(hopStep(['browser', 'edge'], edge, '201'));
  note(hopStep(['edge', 'herald'], herald, '201'));
  note(hopStep(['herald', 'census'], census, '200'));
  const title = 'The token that Edge sent to Herald:';
  note({ kind: 'token', title, claims: herald?.claims ?? {} });
}

function hopStep(
  [from, to]: readonly [string, DemoService],
  hop: Hop | undefined,
  expected: string,
): DemoStep {
  const request = hop?.request ?? '(no request)';
  return { kind: 'hop', from, to, request, answer: String(hop?.status), expected };
}

interface DemoRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Requests to Herald in the name of Edge, each changed in one thing after it was signed, or signed wrongly. */
async function playAttempts({ urls, keys }: Stage, note: (step: DemoStep) => void): Promise<void> {
  note({
    kind: 'chapter',
    title: 'One good request to Herald, and five that are wrong in one thing',
  });
  const order = {
    method: 'POST',
    url: `${urls.herald}notification/`,
    headers: JSON_TYPE,
    body: ORDER,
  };
  const target = { baseUrl: urls.herald, audience: URIS.herald };
  const edge = await createServiceAuth({ ...signerOf('edge', keys.edge), targets: [target] });
  const misled = await createServiceAuth({
    ...signerOf('edge', keys.edge),
    targets: [{ ...target, audience: URIS.census }],
  });
  const stranger = await createServiceAuth({
    ...signerOf('edge', pemOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)),
    issuer: 'https://stranger.service/',
    targets: [target],
  });
  const grant = await edge.issueGrant(OPERATOR);
  const show = async (title: string, request: DemoRequest, expected: string): Promise<void> => {
    note({ kind: 'attempt', title, answer: await send(request), expected });
  };
  try {
    const good = await sign(order, edge, { grant });
    await show('as it was signed', good, '201');
    await show('the same token again', good, '401 token_replayed');
    const other = await sign(order, edge, { grant });
    await show('another body', { ...other, body: ORDER.replace('42', '43') }, '401 body_mismatch');
    const moved = await sign(order, edge, { grant });
    await show('another URL', { ...moved, url: `${order.url}?to=all` }, '401 request_mismatch');
    await show('meant for Census', await sign(order, misled, { grant }), '401 audience_mismatch');
    await show(
      'signed by a stranger',
      await sign(order, stranger, { grant }),
      '401 issuer_unknown',
    );
  } finally {
    for (const service of [edge, misled, stranger]) service.close();
  }
}

/** Herald's key alone does not let a thief act for users who are not there. */
async function playTheft({ urls, keys }: Stage, note: (step: DemoStep) => void): Promise<void> {
  note({ kind: 'chapter', title: "A thief with Herald's private key asks Census for user 42" });
  const target = { baseUrl: urls.census, audience: URIS.census };
  const thief = await createServiceAuth({ ...signerOf('herald', keys.herald), targets: [target] });
  const edge = await createServiceAuth(signerOf('edge', keys.edge));
  const request = { method: 'GET', url: `${urls.census}user/42/`, headers: {}, body: '' };
  const subject = `${USERS}42/`;
  try {
    const alone = await sign(request, thief, { subject });
    const expected = '403 grant_missing';
    note({ kind: 'attempt', title: 'the user is not there', answer: await send(alone), expected });
    const grant = await edge.issueGrant(subject);
    const proved = await send(await sign(request, thief, { grant, subject }));
    note({ kind: 'attempt', title: 'the user has just asked', answer: proved, expected: '200' });
  } finally {
    thief.close();
    edge.close();
  }
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

async function sign(
  request: DemoRequest,
  service: ServiceAuth,
  { grant, subject = OPERATOR }: { readonly grant?: string; readonly subject?: string },
): Promise<DemoRequest> {
  const token = await service.sign({ ...request, body: Buffer.from(request.body), subject, grant });
  const signed = { ...request.headers, JWT: token ?? '' };
  return { ...request, headers: grant === undefined ? signed : { ...signed, 'Txn-Token': grant } };
}

/** @returns the status, and the code of a refusal: `401 body_mismatch` */
async function send({ method, url, headers, body }: DemoRequest): Promise<string> {
  const sent = body === '' ? {} : { body };
  const response = await fetch(url, { method, headers, redirect: 'manual', ...sent });
  const answer: unknown = await response.json();
  const { code } = Object(answer) as { code?: unknown };
  return typeof code === 'string' ? `${response.status} ${code}` : String(response.status);
}
