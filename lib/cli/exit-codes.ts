/** The exit codes of the process. */
export const EXIT_CODES = {
  /** The command did its work, and found no problem. */
  ok: 0,
  /** The command ran, and the result is negative: a check failed, a token has flaws, a call was refused. */
  failed: 1,
  /** The command line is wrong; the command did nothing. */
  usage: 2,
  /** The command could not do its work: because of a file, the network, or an unreadable configuration. */
  impossible: 3,
  /** A bug of this program: `EX_SOFTWARE` of sysexits. */
  bug: 70,
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

/** Called with the exit code of the command. */
export type Finish = (code: ExitCode) => void;

/** Ends a command with a message for its user. Never contains a key or a token. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  constructor(
    readonly reason: 'usage' | 'impossible',
    message: string,
    options: ErrorOptions = {},
  ) {
    super(message, options);
  }
}

/** Throws: the command line is wrong. An expression, so that it may follow `??`. */
export function failUsage(message: string): never {
  throw new CommandFailure('usage', message);
}

/** Throws: the command cannot do its work now. The cause is not printed, as it may quote a key. */
export function failImpossible(message: string, cause?: unknown): never {
  throw new CommandFailure('impossible', message, { cause });
}
