import { unverifiedClaims } from './unverified-claims.mjs';

/** @typedef {typeof import('../../test/support/jobs/chaos-options.js')} Options */
/** @typedef {import('../../test/support/jobs/chaos-options.js').ChaosPlace} ChaosPlace */
/** @typedef {typeof import('../../test/support/jobs/job-services.js')} Services */
/** @typedef {import('../../test/support/jobs/job-services.js').JobService} JobService */
/** @typedef {typeof import('../../lib/index.js')} Library */

/** Queues signed jobs, each for a user of its own, who is there. */
export class JobFeed {
  /** The user of each job, by the id of its token. @type {Map<string, string>} */
  users = new Map();

  /**
   * @param {JobService} service
   * @param {import('../../lib/index.js').ServiceCallContext} context
   * @param {(id: number) => string} userOf
   */
  constructor(service, context, userOf) {
    this.service = service;
    this.context = context;
    this.userOf = userOf;
  }

  /** @param {import('./compiled.mjs').Compiled} compiled @param {ChaosPlace & { redisPort: number }} place */
  static async start(compiled, place) {
    const { JobService } = /** @type {Services} */ (
      await compiled.load('test/support/jobs/job-services.ts')
    );
    const { chaosOptions, userOf } = /** @type {Options} */ (
      await compiled.load('test/support/jobs/chaos-options.ts')
    );
    const { ServiceCallContext } = /** @type {Library} */ (await compiled.load('lib/index.ts'));
    const service = await JobService.start({ port: place.redisPort, options: chaosOptions(place) });
    return new JobFeed(service, service.app.get(ServiceCallContext, { strict: false }), userOf);
  }

  /** The ids of the tokens. */
  get uses() {
    return [...this.users.keys()];
  }

  /** Queues more, unless enough are waiting. @param {number} count */
  async add(count) {
    if ((await this.service.queue.getWaitingCount()) > 2 * count) return;
    for (let at = 0; at < count; at++) {
      const user = this.userOf(this.users.size);
      const add = async () =>
        await this.service.queue.add('welcome', { to: user }, { attempts: 3 });
      const { opts } = await this.context.runOnBehalfOf(user, add, { originate: true });
      const { JWT } = /** @type {{ JWT: string }} */ (Reflect.get(opts, 'serviceAuth'));
      this.users.set(unverifiedClaims(JWT).jti ?? '', user);
    }
  }

  /** How many jobs have ended, well or not. */
  async ended() {
    const { queue } = this.service;
    return (await queue.getCompletedCount()) + (await this.failed());
  }

  /** How many jobs failed for each reason. */
  async reasons() {
    /** @type {Record<string, number>} */
    const counts = {};
    for (const { failedReason } of await this.service.queue.getFailed()) {
      counts[failedReason] = (counts[failedReason] ?? 0) + 1;
    }
    return counts;
  }

  async failed() {
    return await this.service.queue.getFailedCount();
  }

  async close() {
    await this.service.close();
  }
}
