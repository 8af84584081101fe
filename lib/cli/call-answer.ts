import { isRefusalCode, type RefusalCode, REFUSALS } from '../core/index.js';
import { EXIT_CODES, type ExitCode, failImpossible } from './exit-codes.js';
import { codeOf } from './key-files.js';
import { paint, type Terminal, visible, visibleLines, writeJson } from './terminal.js';

interface PrintOptions {
  readonly token: string;
  readonly include?: true;
  readonly showToken?: true;
  readonly json?: true;
}

/** The answer, in the shape of `--json`. */
interface CallAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** `base64` if the body is not UTF-8. */
  readonly bodyEncoding: 'utf8' | 'base64';
  /** Null unless the answer is a refusal of the protocol. */
  readonly refusal: { readonly code: RefusalCode; readonly hint: string } | null;
}

/**
 * Prints an answer and, for a refusal, what to do. Removes the token from text of the other side, unless the user
 * asks for the token.
 */
export async function printAnswer(
  response: Response,
  options: PrintOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const bytes = await readBytes(response);
  const answer = toAnswer(response, bytes, options);
  const { status, refusal } = answer;
  if (options.json) {
    writeJson(terminal, { ...answer, ...(options.showToken ? { token: options.token } : {}) });
  } else printWords(answer, options, terminal);
  return status < 400 && !refusal ? EXIT_CODES.ok : EXIT_CODES.failed;
}

async function readBytes(response: Response): Promise<Buffer> {
  try {
    return Buffer.from(await response.arrayBuffer());
  } catch (error) {
    const { cause = error } = Object(error) as { cause?: unknown };
    return failImpossible(`the answer broke off (${codeOf(cause)})`);
  }
}

function toAnswer(response: Response, bytes: Buffer, options: PrintOptions): CallAnswer {
  const redact = (text: string): string =>
    options.showToken ? text : text.replaceAll(options.token, '[token]');
  const text = decode(bytes);
  const headers = [...response.headers].map(([name, value]) => [name, redact(value)]);
  const code = findRefusal(response, text);
  return {
    status: response.status,
    headers: Object.fromEntries(headers) as Record<string, string>,
    body: text === undefined ? bytes.toString('base64') : redact(text),
    bodyEncoding: text === undefined ? 'base64' : 'utf8',
    refusal: code === undefined ? null : { code, hint: REFUSALS[code].hint },
  };
}

function decode(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** The code of a refusal: from the body, or from the challenge if a gateway replaced the body. */
function findRefusal({ status, headers }: Response, text = ''): RefusalCode | undefined {
  if (status < 400) return undefined;
  const challenge = headers.get('www-authenticate') ?? '';
  const challenged = /\bJWT realm="[^"]*", error="(\w+)"/.exec(challenge)?.[1];
  return [codeIn(text), challenged].find(isRefusalCode);
}

function codeIn(text: string): unknown {
  try {
    const { code } = Object(JSON.parse(text)) as { code?: unknown };
    return code;
  } catch {
    return undefined;
  }
}

function printWords(
  answer: CallAnswer,
  { include, showToken, token }: PrintOptions,
  terminal: Terminal,
): void {
  const { status, headers, body, bodyEncoding, refusal } = answer;
  if (showToken) terminal.err(`JWT: ${token}\n`);
  terminal.err(`${paint(terminal, status < 400 ? 'green' : 'red', `HTTP ${status}`)}\n`);
  for (const [name, value] of Object.entries(include ? headers : {})) {
    terminal.err(`${name}: ${visible(value)}\n`);
  }
  if (bodyEncoding === 'base64') {
    terminal.out(terminal.isScreen ? '(no text)\n' : Buffer.from(body, 'base64'));
  } else if (body !== '') terminal.out(terminal.isScreen ? `${visibleLines(body)}\n` : body);
  if (refusal) terminal.err(`${paint(terminal, 'red', refusal.code)}: ${refusal.hint}\n`);
  else if (status >= 400) {
    terminal.err('This is no refusal of a service token: the application or a gateway said so.\n');
  } else if (status >= 300) terminal.err('Redirects are not followed with a token.\n');
}
