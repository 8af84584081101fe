/** The clock of a Redis, in seconds since the epoch, from its answer to `INFO server`; undefined if missing. */
export function readServerSeconds(info: unknown): number | undefined {
  const microseconds = readField(info, 'server_time_usec');
  return microseconds === undefined ? undefined : Number(microseconds) / 1e6;
}

/** The id of a server process, new after each restart. @throws Error if the answer has none */
export function readServerId(info: unknown): string {
  const id = readField(info, 'run_id');
  if (id === undefined || id === '') throw new Error('Redis does not say which server it is');
  return id;
}

function readField(info: unknown, name: string): string | undefined {
  const lines = typeof info === 'string' ? info.split('\r\n') : [];
  return lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1);
}
