import type { Command } from 'commander';
import {
  ANSWER_FAILURES,
  REFUSALS,
  type RequestFailed,
  SETUP_ERRORS,
  SIGNING_FAILURES,
} from '../core/index.js';
import { EXIT_CODES, type ExitCode, type Finish, failUsage } from './exit-codes.js';
import { paint, type Terminal, writeJson } from './terminal.js';

const EXAMPLES = `
Examples:
  $ nestjs-service-auth explain audience_mismatch
  $ nestjs-service-auth explain --json

Exit codes: 0 explained, 2 there is no such code.`;

/** A row of a table of codes. */
interface Explanation {
  readonly status?: number;
  readonly message: string;
  readonly cause: string;
  readonly hint: string;
  readonly page?: string;
}

type Kind = 'refusal' | 'signing' | 'answer' | 'event' | 'setup';

/** The reasons of `request_failed` that are no code of an error: logs and `doctor` print them. */
const FAILURE_REASONS: Readonly<
  Record<Exclude<RequestFailed['reason'], 'usage_error'>, Explanation>
> = {
  admission_error: {
    message: 'The token is good, and the call failed before its handler ran.',
    cause:
      "The application's own code threw, such as its `userResolver`; or a message asks for a signed answer, and the service has no `signingKey`.",
    hint: "Read the error in the log of the application. For messages, write `signingKey` in the options of the service, or `answers: 'unsigned'` in `forClients()` of its callers.",
    page: 'messages.md#answers',
  },
  unexpected_error: {
    message: 'Something unexpected failed before the token was decided.',
    cause:
      'Code that the verification calls threw an error that is not one of this library, such as a stream that another library reads.',
    hint: 'Read the error in the log of the application.',
    page: 'observability.md',
  },
};

const TABLES: Readonly<Record<Kind, Readonly<Record<string, Explanation>>>> = {
  refusal: REFUSALS,
  signing: SIGNING_FAILURES,
  answer: ANSWER_FAILURES,
  event: FAILURE_REASONS,
  setup: SETUP_ERRORS,
};

const WHERE: Readonly<Record<Exclude<Kind, 'refusal'>, string>> = {
  signing: 'before sending',
  answer: 'when a message is answered',
  event: 'reason of the event request_failed',
  setup: 'at start, or in code',
};

/** One code; the shape of an element of `--json`. */
interface ExplainedCode {
  readonly code: string;
  readonly kind: Kind;
  /** The status of a refusal; null for other codes. */
  readonly status: number | null;
  readonly message: string;
  readonly cause: string;
  readonly hint: string;
  /** The page of the documentation with more about it. */
  readonly page: string | null;
}

/** Adds the command that explains a code and what to do about it. */
export function addExplain(program: Command, terminal: Terminal, finish: Finish): void {
  program
    .command('explain')
    .summary('what a code means, why, and what to do')
    .description(
      'Says what the code of a refusal or of another error means, why it happens and what to do; without a code, of all of them.',
    )
    .argument('[code]', 'the `code` of an error, such as body_mismatch')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action((code: string | undefined, options: { json?: true }) =>
      finish(explain(code, options, terminal)),
    );
}

function explain(
  wanted: string | undefined,
  { json }: { json?: true },
  terminal: Terminal,
): ExitCode {
  const codes = allCodes().filter(({ code }) => wanted === undefined || code === wanted);
  if (codes.length === 0) {
    failUsage('there is no such code; `nestjs-service-auth explain` lists all of them');
  }
  if (json) writeJson(terminal, { codes });
  else for (const code of codes) terminal.out(inWords(code, terminal));
  return EXIT_CODES.ok;
}

function allCodes(): ExplainedCode[] {
  return (Object.keys(TABLES) as Kind[]).flatMap((kind) =>
    Object.entries(TABLES[kind]).map(([code, { status = null, message, cause, hint, page }]) => ({
      code,
      kind,
      status,
      message,
      cause,
      hint,
      page: page === undefined ? null : `docs/${page}`,
    })),
  );
}

function inWords(explained: ExplainedCode, terminal: Terminal): string {
  const { code, kind, status, message, cause, hint, page } = explained;
  const where = kind === 'refusal' ? status : WHERE[kind];
  const more = page === null ? '' : `  More: ${page}\n`;
  return `${paint(terminal, 'bold', code)} (${where})\n  ${message}\n  ${cause}\n  ${hint}\n${more}`;
}
