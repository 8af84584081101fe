import { playRefusals } from './story/refusals.js';
import { Runner } from './story/runner.js';
import { playStory } from './story/story.js';

const runner = new Runner();
const { narrator } = runner;

/** Starts everything, plays the story, and (unless once is enough) leaves the services up. */
await runner.run(async () => {
  const stage = await runner.start(process.env);
  const notificationUri = await playStory(stage, narrator);
  if (notificationUri) await playRefusals(stage.environment, notificationUri, narrator);
  if (!narrator.concludes()) process.exitCode = 1;
  if (process.argv.includes('--once')) return;
  narrator.heading(
    'The services stay up; Ctrl-C stops them. Clients to try: sample/clients/python.',
  );
  await stage.services.ended;
});
