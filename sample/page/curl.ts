import type { SentRequest } from '../story/http-client.js';
import { tokenPartsOf } from './forged-request.js';

export interface CurlCommand {
  /** For a POSIX shell, a line each request. */
  readonly command: string;
  /** When the first of its tokens expires, in seconds since the epoch; null: it has none. */
  readonly expiresAtSeconds: number | null;
}

/** A command that sends these requests, byte for byte. */
export function curlOf(requests: readonly SentRequest[]): CurlCommand {
  const expiries = requests
    .map((request) => tokenPartsOf(request)?.claims['exp'])
    .filter((expiry) => typeof expiry === 'number');
  return {
    command: requests.map(commandOf).join('\n'),
    expiresAtSeconds: expiries.length > 0 ? Math.min(...expiries) : null,
  };
}

function commandOf({ method, url, headers, body }: SentRequest): string {
  const lines = Object.entries(headers).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`);
  if (body !== '') lines.push(`--data-raw ${quote(body)}`);
  return [`curl -i -w '\\n' -X ${method} ${quote(url)}`, ...lines].join(' \\\n  ');
}

/** One word of a POSIX shell: all characters count as they are. */
function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
