/**
 * What Redis does with one key, in one atomic step. The value of a reserved use is `r:` and its owner. Any other value is
 * a use that is done: `1` of `recordUse`, or `d:` and the owner that committed it, so that a commit which is sent again
 * after its answer was lost finds its own.
 *
 * Each answers with a word, since some options of clients turn numbers into texts.
 */
export interface LeaseScript {
  readonly text: string;
  /** What it answers; anything else is no answer. */
  readonly answers: readonly string[];
}

/** Arguments: owner, milliseconds of the lease. */
export const RESERVE: LeaseScript = {
  text: `local value = redis.call('GET', KEYS[1])
if not value then
  redis.call('SET', KEYS[1], 'r:' .. ARGV[1], 'PX', ARGV[2])
  return 'first'
end
if string.sub(value, 1, 2) == 'r:' then return 'busy' end
return 'seen'`,
  answers: ['first', 'busy', 'seen'],
};

/** Arguments: owner, milliseconds of the lease. */
export const RENEW: LeaseScript = {
  text: `if redis.call('GET', KEYS[1]) ~= 'r:' .. ARGV[1] then return 'lost' end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'owned'`,
  answers: ['owned', 'lost'],
};

/** Arguments: owner, for how many milliseconds to remember the use. */
export const COMMIT: LeaseScript = {
  text: `local value = redis.call('GET', KEYS[1])
if value == 'd:' .. ARGV[1] then return 'owned' end
if value == 'r:' .. ARGV[1] then
  redis.call('SET', KEYS[1], 'd:' .. ARGV[1], 'PX', ARGV[2])
  return 'owned'
end
if not value or string.sub(value, 1, 2) == 'r:' then
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
end
return 'lost'`,
  answers: ['owned', 'lost'],
};

/** Arguments: owner. */
export const RELEASE: LeaseScript = {
  text: `if redis.call('GET', KEYS[1]) ~= 'r:' .. ARGV[1] then return 'lost' end
redis.call('DEL', KEYS[1])
return 'owned'`,
  answers: ['owned', 'lost'],
};
