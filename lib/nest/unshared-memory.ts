import { env } from 'node:process';
import { type ServiceAuthObserver, tell } from '../core/index.js';

/** Platforms that start instances by themselves, each with the variable that it sets. */
const PLATFORMS: readonly [variable: string, platform: string][] = [
  ['AWS_LAMBDA_FUNCTION_NAME', 'AWS Lambda'],
  ['K_SERVICE', 'Cloud Run'],
  ['FUNCTIONS_WORKER_RUNTIME', 'Azure Functions'],
  ['VERCEL', 'Vercel'],
  ['KUBERNETES_SERVICE_HOST', 'Kubernetes'],
];

const REMEDY =
  'Give replayStore a shared store (Redis), or write replayStore: new MemoryReplayStore() if there is one process';

/**
 * Warns if a service in production remembers used tokens in the memory of its process, without a `replayStore` in the
 * options. It reads the environment only for this line of the log, never for a setting.
 */
export function warnOfUnsharedMemory(observer: ServiceAuthObserver): void {
  if (env['NODE_ENV'] !== 'production') return;
  const platform = PLATFORMS.find(([variable]) => env[variable] !== undefined)?.[1];
  const hint = platform === undefined ? '' : `, and ${platform} may start several`;
  const reason = `each process remembers used tokens for itself${hint}. ${REMEDY}`;
  tell(observer, { type: 'replay_store_unsafe', reason });
}
