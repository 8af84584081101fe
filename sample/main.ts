import { once } from 'node:events';
import { relative } from 'node:path';
import { type Environment, readEnvironment, readPort, SetupError } from './setup/environment.js';
import { ensureKeyFiles } from './setup/key-files.js';
import { SERVICE_URIS } from './setup/services.js';
import { assertPortsFree } from './story/assert-ports-free.js';
import { type Mailbox, startMailbox } from './story/mailbox.js';
import { Narrator } from './story/narrator.js';
import { playRefusals } from './story/refusals.js';
import { ServiceProcesses } from './story/service-processes.js';
import { playStory } from './story/story.js';

const services = new ServiceProcesses();
const narrator = new Narrator();
let mailbox: Mailbox | undefined;

try {
  const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  await Promise.race([run(process.argv.includes('--once')), services.ended, interrupted]);
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exitCode = 1;
} finally {
  await services.stop();
  await mailbox?.close();
}

/** Starts everything, plays the story, and (unless once is enough) leaves the services up. */
async function run(playOnce: boolean): Promise<void> {
  const environment = await start();
  const notificationUri = await playStory({ environment, services, mailbox }, narrator);
  if (notificationUri) await playRefusals(environment, notificationUri, narrator);

  const { differences } = narrator;
  narrator.heading(
    differences === 0
      ? 'Everything went as it should.'
      : `${differences} thing${differences === 1 ? '' : 's'} did not go as they should: see DIFFERS.`,
  );
  if (differences > 0) process.exitCode = 1;
  if (playOnce) return;
  narrator.heading(
    'The services stay up; Ctrl-C stops them. Clients to try: sample/clients/python.',
  );
  await services.ended;
}

async function start(): Promise<Environment> {
  const wanted = readEnvironment(process.env);
  const ports = {
    census: readPort('census', process.env),
    herald: readPort('herald', process.env),
    another: readPort('another', process.env),
  };
  await assertPortsFree(ports);
  const made = ensureKeyFiles(wanted.keys);
  mailbox = wanted.smtpUrl === undefined ? await startMailbox() : undefined;
  const smtpUrl = wanted.smtpUrl ?? mailbox?.url ?? '';
  const environment = await services.start({ ports, keys: wanted.keys, smtpUrl });

  narrator.heading('Three services, each in a process of its own');
  for (const name of ['census', 'herald', 'another'] as const) {
    narrator.fact(SERVICE_URIS[name], `at ${environment.baseUrls[name]}`);
  }
  narrator.fact('mail server', mailbox ? `at ${mailbox.url}, embedded` : 'that of SMTP_URL');
  narrator.fact(
    'keys',
    `in ${shortest(wanted.keys)}, ${made.length > 0 ? `made: ${made.join(', ')}` : 'kept'}`,
  );
  return environment;
}

function shortest(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere === '' || fromHere.startsWith('..') ? path : fromHere;
}
