import { once } from 'node:events';

/**
 * For a process that has loaded everything: says so, and waits for the word of the process that started it. Ends with
 * that one.
 */
export async function whenToldToWork(): Promise<void> {
  process.on('disconnect', () => process.exit());
  const told = once(process, 'message');
  process.send?.('loaded');
  await told;
}
