import { readPagePort } from './setup/environment.js';
import { playRefusals } from './story/refusals.js';
import { Runner } from './story/runner.js';
import { playStory } from './story/story.js';

const runner = new Runner();
const { narrator } = runner;
const isOnce = process.argv.includes('--once');

/** Starts everything, plays the story, and (unless once is enough) leaves services and page up. */
await runner.run(async () => {
  const pagePort = readPagePort(process.env);
  const stage = await runner.start(process.env);
  const notificationUri = await playStory(stage, narrator);
  if (notificationUri) await playRefusals(stage, notificationUri, narrator);
  runner.tellLogs();
  if (!narrator.concludes()) process.exitCode = 1;
  if (isOnce) return;
  const url = await runner.openPage(stage, pagePort);
  narrator.heading('What to do next');
  narrator.fact(url, 'change a request, and see which check refuses it');
  narrator.fact(stage.environment.baseUrls.edge, 'log in as another user (a demo login)');
  narrator.fact('npm run sample:rotate', 'give Herald another key while requests go on');
  narrator.fact('docs/getting-started.md', 'write two services of your own');
  narrator.heading(`See it: ${url}`);
  narrator.heading(
    'Page and services stay up; Ctrl-C stops them. Clients to try: sample/clients/python.',
  );
  await runner.interrupted;
});
