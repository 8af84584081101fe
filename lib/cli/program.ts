import { Command, CommanderError } from 'commander';
import { addCall } from './call.command.js';
import { addDemo } from './demo.command.js';
import { addDoctor } from './doctor/doctor.command.js';
import { CommandFailure, EXIT_CODES, type ExitCode, type Finish } from './exit-codes.js';
import { addExplain } from './explain.command.js';
import { addInspect } from './inspect.command.js';
import { addJwks } from './jwks.command.js';
import { addKeygen } from './keygen.command.js';
import { addRotate } from './rotate/rotate.command.js';
import { type Terminal, writeJson } from './terminal.js';

const AFTER_HELP = `
Exit codes: 0 good, 1 a check failed or a call was refused, 2 the command line is wrong,
3 it could not be done (a file, the network), 70 a bug of this program.

Private keys and tokens are printed only where an option asks for it.`;

const COMMANDS = [
  addKeygen,
  addJwks,
  addRotate,
  addInspect,
  addCall,
  addDoctor,
  addExplain,
  addDemo,
];

/**
 * Runs one command line; what it says goes to the terminal.
 *
 * @param args what was typed after the name of the program
 * @returns the code the process should end with; it never rejects
 */
export async function runCommandLine(
  args: readonly string[],
  terminal: Terminal,
  version: string,
): Promise<ExitCode> {
  let code: ExitCode = EXIT_CODES.ok;
  const program = createProgram(terminal, version, (finished) => (code = finished));
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    return report(error, terminal, args.includes('--json'));
  }
}

function createProgram(terminal: Terminal, version: string, finish: Finish): Command {
  const program = new Command('nestjs-service-auth')
    .description('Keys, tokens and calls of nestjs-service-auth, from the command line.')
    .version(version, '-V, --version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.err(text),
    })
    .showHelpAfterError('(add --help for what can be written)')
    .addHelpText('after', AFTER_HELP);
  for (const add of COMMANDS) add(program, terminal, finish);
  return program;
}

function report(error: unknown, terminal: Terminal, asJson: boolean): ExitCode {
  if (error instanceof CommanderError) {
    // It has said already what is wrong, or printed what was asked for.
    return error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
  }
  if (error instanceof CommandFailure) {
    const { reason, message } = error;
    if (asJson) writeJson(terminal, { error: { reason, message } });
    else terminal.err(`error: ${message}\n`);
    return EXIT_CODES[reason];
  }
  // Only its name: the message of an unknown error may quote a key.
  const name = error instanceof Error ? error.name : 'no Error';
  terminal.err(`error: this is a bug of nestjs-service-auth (${name}); please report it\n`);
  return EXIT_CODES.bug;
}
