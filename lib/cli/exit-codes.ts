/** How a command ended, as its process tells it. */
export const EXIT_CODES = {
  /** It did what it was asked to do, and found nothing wrong. */
  ok: 0,
  /** It ran, and the answer is no: a check failed, a token is flawed, a call was refused. */
  failed: 1,
  /** The command line is wrong; nothing was done. */
  usage: 2,
  /** It could not be done: a file, the network, a configuration that cannot be read. */
  impossible: 3,
  /** A bug of this program: `EX_SOFTWARE` of sysexits. */
  bug: 70,
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

/** Takes the exit code of the command that ran. */
export type Finish = (code: ExitCode) => void;

/** Ends a command with words for whoever typed it. Never holds a key or a token. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  constructor(
    readonly reason: 'usage' | 'impossible',
    message: string,
  ) {
    super(message);
  }
}

/** The command line is wrong. An expression, so that it can stand on the right of `??`. */
export function failUsage(message: string): never {
  throw new CommandFailure('usage', message);
}

/** What was asked for cannot be done here and now. */
export function failImpossible(message: string): never {
  throw new CommandFailure('impossible', message);
}
