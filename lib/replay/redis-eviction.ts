/**
 * The problem with the `maxmemory-policy` in an answer to `INFO memory`; undefined if there is none. Not `CONFIG
 * GET`, which hosted Redis often forbids.
 */
export function describeEviction(info: unknown): string | undefined {
  const policy = /^maxmemory_policy:(\S+)/m.exec(typeof info === 'string' ? info : '')?.[1];
  if (policy === 'noeviction') return undefined;
  if (policy === undefined) return 'it cannot be told whether Redis evicts keys';
  return `Redis has maxmemory-policy ${policy}, and forgets used tokens when it is full: set noeviction`;
}
