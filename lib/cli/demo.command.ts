import type { Command } from 'commander';
import { REFUSALS } from '../core/index.js';
import type { DemoStep } from '../demo/play.js';
import { explainClaims } from './claim-words.js';
import { EXIT_CODES, type ExitCode, failImpossible, type Finish } from './exit-codes.js';
import { paint, type Terminal, writeJson } from './terminal.js';

const EXAMPLES = `
It needs what a Nest application has: @nestjs/common, @nestjs/core, @nestjs/platform-express, rxjs
and reflect-metadata. It writes no file, and listens on 127.0.0.1 until it ends.

Examples:
  $ nestjs-service-auth demo
  $ nestjs-service-auth demo --json

Exit codes: 0 every answer was the expected one, 1 one was not, 3 Nest is not installed here.`;

const NEEDED = [
  '@nestjs/common',
  '@nestjs/core',
  '@nestjs/platform-express',
  'rxjs',
  'reflect-metadata',
];

/** What the demo says first, before anything is loaded. */
const FIRST_SENTENCE = 'Three Nest services in this process call each other over HTTP.';

const NEXT = [
  ['npx nestjs-service-auth explain body_mismatch', 'what a code means, and what to do'],
  ['npx nestjs-service-auth keygen herald.private.pem', 'make the key of a service'],
  ['node_modules/nestjs-service-auth/docs/getting-started.md', 'write two services of your own'],
] as const;

/** Adds the command that shows the library at work, on this machine. */
export function addDemo(program: Command, terminal: Terminal, finish: Finish): void {
  program
    .command('demo')
    .summary('see services call each other, and what is refused')
    .description(
      'Starts three services, sends signed requests between them, then requests that are wrong in one thing each.',
    )
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: { json?: true }) => finish(await demo(options, terminal)));
}

async function demo({ json }: { json?: true }, terminal: Terminal): Promise<ExitCode> {
  const write = (line: string): void => terminal.out(`${line}\n`);
  if (!json) write(paint(terminal, 'bold', FIRST_SENTENCE));
  const playDemo = await loadDemo();
  const steps: DemoStep[] = [];
  const isGood = await playDemo((step) => {
    steps.push(step);
    if (!json) for (const line of linesOf(step, terminal)) write(line);
  });
  if (json) writeJson(terminal, { good: isGood, steps });
  else for (const line of endingOf(isGood, terminal)) write(line);
  return isGood ? EXIT_CODES.ok : EXIT_CODES.failed;
}

/** @throws CommandFailure where a package is missing */
async function loadDemo() {
  try {
    const { playDemo } = await import('../demo/play.js');
    return playDemo;
  } catch (error) {
    const { code, message } = Object(error) as { code?: unknown; message?: unknown };
    const isMissing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
    const missing = NEEDED.find((name) => String(message).includes(`'${name}'`));
    if (!isMissing || missing === undefined) throw error;
    return failImpossible(
      `the demo needs ${missing}, which is not installed here. Run: npm install ${NEEDED.join(' ')}`,
    );
  }
}

function linesOf(step: DemoStep, terminal: Terminal): string[] {
  const dim = (text: string) => paint(terminal, 'dim', text);
  const cyan = (text: string) => paint(terminal, 'cyan', text);
  switch (step.kind) {
    case 'service':
      return [`  ${cyan(step.uri.padEnd(24))}${step.does.padEnd(44)}${dim(step.url)}`];
    case 'chapter':
      return ['', paint(terminal, 'bold', step.title)];
    case 'hop': {
      const way = `${step.from} > ${step.to}`;
      return [`  ${cyan(way.padEnd(24))}${step.request.padEnd(24)}${answerOf(step, terminal, 0)}`];
    }
    case 'attempt': {
      const meaning = meaningOf(step.answer);
      const answer = answerOf(step, terminal, meaning === '' ? 0 : ANSWER_WIDTH);
      return [`  ${cyan(step.title.padEnd(24))}${answer}${meaning === '' ? '' : dim(meaning)}`];
    }
    case 'token':
      return [`  ${step.title}`, ...claimLines(step.claims, terminal)];
  }
}

const ANSWER_WIDTH = 24;

function answerOf(
  { answer, expected }: { readonly answer: string; readonly expected: string },
  terminal: Terminal,
  width: number,
): string {
  if (answer !== expected) return paint(terminal, 'red', `${answer}, should be ${expected} `);
  const style = answer.startsWith('2') ? 'green' : 'yellow';
  return paint(terminal, style, answer.padEnd(width));
}

/** The sentence that a caller reads beside a code. */
function meaningOf(answer: string): string {
  const code = answer.slice(answer.indexOf(' ') + 1);
  return Object.entries(REFUSALS).find(([name]) => name === code)?.[1].message ?? '';
}

const SHOWN_CLAIMS = ['iss', 'aud', 'sub', 'jti', 'req', 'bdy', 'tth'];
const CLAIM_WIDTH = 36;

function claimLines(claims: Readonly<Record<string, unknown>>, terminal: Terminal): string[] {
  const shown = explainClaims(claims, Math.floor(terminal.now() / 1000));
  return shown
    .filter(({ name }) => SHOWN_CLAIMS.includes(name))
    .map(({ name, value, words }) => {
      const text = String(value);
      const short = text.length < CLAIM_WIDTH ? text : `${text.slice(0, CLAIM_WIDTH - 5)}...`;
      return `    ${name.padEnd(6)}${short.padEnd(CLAIM_WIDTH)}  ${paint(terminal, 'dim', words)}`;
    });
}

function endingOf(isGood: boolean, terminal: Terminal): string[] {
  const ending = isGood
    ? paint(terminal, 'green', 'Every answer was the expected one.')
    : paint(terminal, 'red', 'Not every answer was the expected one.');
  const next = NEXT.map(([what, why]) => `  ${paint(terminal, 'cyan', what.padEnd(60))}${why}`);
  return ['', ending, '', paint(terminal, 'bold', 'What to do next'), ...next];
}
