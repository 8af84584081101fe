import { type Command, Option } from 'commander';
import {
  GRANT_HEADER,
  readUnverifiedGrant,
  ServiceSigningError,
  TOKEN_HEADER,
} from '../core/index.js';
import { printAnswer } from './call-answer.js';
import { type CallSender, openSender, type SenderOptions } from './call-sender.js';
import { type ExitCode, type Finish, failImpossible, failUsage } from './exit-codes.js';
import { codeOf, readFileBytes } from './key-files.js';
import type { Terminal } from './terminal.js';

/** The options of `call`. */
interface CallOptions extends SenderOptions {
  readonly method?: string;
  readonly as?: string;
  readonly grant?: string;
  readonly data?: string;
  readonly header: readonly string[];
  readonly timeout: string;
  readonly include?: true;
  readonly showToken?: true;
  readonly json?: true;
}

/** A final request: it is signed and sent as it is. */
interface CallRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly subject: string | undefined;
  readonly grant: string | undefined;
}

const EXAMPLES = `
The body goes to standard output, everything said about it to standard error. Redirects are not
followed with a token. What --config exports is described in \`doctor --help\`.

Examples:
  $ nestjs-service-auth call https://census.service/user/42 \\
      --issuer https://herald.service/ --key herald.private.pem --as https://census.service/user/21/
  $ nestjs-service-auth call https://census.service/user/42 \\
      --issuer https://herald.service/ --key herald.private.pem --grant @grant.txt
  $ nestjs-service-auth call http://127.0.0.1:3000/user --audience https://census.service/ \\
      --config dist/service-auth.options.js -H 'content-type: application/json' --data @user.json

Exit codes: 0 answered below 400, 1 refused, or another answer of 400 and above,
2 the command line is wrong, 3 no answer, or a file cannot be read.`;

/** Adds the command that makes one signed call. */
export function addCall(program: Command, terminal: Terminal, finish: Finish): void {
  program
    .command('call')
    .summary('make one signed call')
    .description('Makes one signed call and prints the answer; of a refusal, what to do about it.')
    .argument('<url>', 'absolute URL')
    .option('-X, --method <method>', 'default: GET, or POST with --data')
    .option('--as <subject>', 'the URI of the user to call for; default: the service itself')
    .option(
      '--grant <grant>',
      'a grant to send along: text, @file, or @- for standard input; without --as, the call is for its user',
    )
    .option('-d, --data <data>', 'the body: text, @file, or @- for standard input')
    .option('-H, --header <header>', "'Name: value'; may be repeated", collect, [])
    .option('--config <module>', 'take issuer, key and targets from the options of a service')
    .option('--issuer <uri>', 'the URI of the service that calls')
    .option('--key <file>', 'its private key')
    .option('--algorithm <name>', 'the algorithm of a key that does not name its own')
    .option('--key-id <id>', 'the key id of a key that does not name its own')
    .option('--audience <uri>', 'the URI of the service called; default: the origin of the URL')
    .addOption(
      new Option('--profile <profile>', 'the format of the token')
        .choices(['strict', 'original'])
        .default('strict'),
    )
    .option('--sign-header <name>', 'bind one more header; may be repeated', collect, [])
    .option('--timeout <seconds>', 'how long to wait for the answer, 1 to 600', '30')
    .option('-i, --include', 'print the headers of the answer, too')
    .option('--show-token', 'print the token that was sent')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (url: string, options: CallOptions) =>
      finish(await call(url, options, terminal)),
    );
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

async function call(url: string, options: CallOptions, terminal: Terminal): Promise<ExitCode> {
  const timeoutSeconds = readTimeout(options.timeout);
  const request = await readRequest(url, options, terminal);
  const sender = await openSender(url, options, terminal.now);
  try {
    const token = await sign(sender, request);
    const response = await send(request, token, timeoutSeconds);
    return await printAnswer(response, { token, ...options }, terminal);
  } finally {
    sender.close();
  }
}

function readTimeout(text: string): number {
  const seconds = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (seconds >= 1 && seconds <= 600) return seconds;
  return failUsage('--timeout: write a whole number from 1 to 600');
}

async function readRequest(
  url: string,
  { method: typed, as, grant: writtenGrant, data, header }: CallOptions,
  terminal: Terminal,
): Promise<CallRequest> {
  const method = (typed ?? (data === undefined ? 'GET' : 'POST')).toUpperCase();
  if (!/^[!#$%&'*+.^_`|~0-9A-Z-]+$/.test(method)) failUsage('--method is no HTTP method');
  if (data !== undefined && (method === 'GET' || method === 'HEAD')) {
    failUsage(`${method} is sent without a body: leave --data out, or say --method`);
  }
  const headers = Object.fromEntries(header.map(readHeader));
  if (Object.keys(headers).length < header.length) failUsage('--header: one is there twice');
  assertSendable(url, method, headers);
  if (data === '@-' && writtenGrant === '@-') {
    failUsage('--data and --grant cannot both be standard input');
  }
  const body = await readData(data, terminal);
  const { grant, subject = as } = await readGrant(writtenGrant, as, terminal);
  return { method, url, headers, body, subject, grant };
}

/** @param as the user on the command line, who may differ from that of the grant: receivers refuse that */
async function readGrant(
  written: string | undefined,
  as: string | undefined,
  terminal: Terminal,
): Promise<{ readonly grant: string | undefined; readonly subject?: string | undefined }> {
  if (written === undefined) return { grant: undefined };
  const text = (await readData(written, terminal)).toString('utf8').trim();
  const grant = text.replace(/^txn-token:\s*/i, '');
  const read = readUnverifiedGrant(grant) ?? failUsage('--grant: this is no grant');
  return { grant, subject: as ?? read.subject };
}

/** Asserts that `fetch` would send the request: it forbids some methods and headers, and credentials in the URL. */
function assertSendable(url: string, method: string, headers: Record<string, string>): void {
  if (!URL.canParse(url)) failUsage('the URL is not absolute');
  try {
    void new Request(url, { method, headers });
  } catch {
    failUsage('this cannot be sent: look at the URL, the method and the headers');
  }
}

function readHeader(text: string): [name: string, value: string] {
  const [, name = '', value = ''] = /^([^:\s]+):[ \t]*(.*?)[ \t]*$/.exec(text) ?? [];
  if (name === '') failUsage("--header: write 'Name: value'");
  const lowerCase = name.toLowerCase();
  if (lowerCase === TOKEN_HEADER) failUsage('--header: the token is made here; leave JWT out');
  if (lowerCase === GRANT_HEADER) failUsage('--header: give a grant with --grant');
  return [lowerCase, value];
}

async function readData(data: string | undefined, terminal: Terminal): Promise<Buffer> {
  if (data === undefined) return Buffer.alloc(0);
  if (!data.startsWith('@')) return Buffer.from(data);
  return data === '@-' ? await terminal.readInput() : readFileBytes(data.slice(1));
}

async function sign(sender: CallSender, request: CallRequest): Promise<string> {
  try {
    return (await sender.sign(request)) ?? failUsage('the URL is none of the targets: no token');
  } catch (error) {
    if (!(error instanceof ServiceSigningError)) throw error;
    return failUsage(`${error.code}: ${error.message}`);
  }
}

async function send(
  { method, url, headers, body, grant }: CallRequest,
  token: string,
  timeoutSeconds: number,
): Promise<Response> {
  try {
    return await fetch(url, {
      method,
      headers: { ...headers, JWT: token, ...(grant === undefined ? {} : { 'Txn-Token': grant }) },
      ...(body.length > 0 ? { body: new Uint8Array(body) } : {}),
      // A redirect must get neither the token nor the grant.
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutSeconds * 1000),
    });
  } catch (error) {
    const { cause = error } = Object(error) as { cause?: unknown };
    return failImpossible(`${new URL(url).origin} gave no answer (${codeOf(cause)})`);
  }
}
