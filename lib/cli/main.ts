#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { runCommandLine } from './program.js';
import type { Terminal } from './terminal.js';

// Only this file of the library uses the process: its streams, environment and clock.
const { stdin, stdout, stderr, env } = process;

const isScreen = stdout.isTTY;
const writeOut = stdout.write.bind(stdout);
const terminal: Terminal = {
  out: (text) => void writeOut(text),
  err: (text) => void stderr.write(text),
  divertOthers: () => void (stdout.write = stderr.write.bind(stderr)),
  readInput: async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of stdin as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks);
  },
  now: () => Date.now(),
  isScreen,
  hasColours: areColoursWanted(),
};

/** Screens get colours; NO_COLOR takes them away, and FORCE_COLOR gives them to files and pipes too. */
function areColoursWanted(): boolean {
  const { NO_COLOR: refused, FORCE_COLOR: forced, TERM: screen } = env;
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  return isScreen && !refused && screen !== 'dumb';
}

/** A reader that has seen enough (`| head`) is no failure. */
function endQuietly(error: NodeJS.ErrnoException): void {
  process.exit(error.code === 'EPIPE' ? 0 : 3);
}

async function flush(write: NodeJS.WriteStream['write']): Promise<void> {
  await new Promise<void>((resolve) => write('', () => resolve()));
}

/**
 * A configuration module may start work that it never awaits. Only the name of the error is printed, as messages may
 * quote keys.
 */
function reportForgotten(error: unknown): void {
  const { code, name } = Object(error) as { code?: unknown; name?: unknown };
  terminal.err(`warning: work in the background failed (${String(code ?? name)})\n`);
}

process.on('unhandledRejection', reportForgotten);
stdout.on('error', endQuietly);
stderr.on('error', endQuietly);

const manifest = new URL('../../package.json', import.meta.url);
const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
const code = await runCommandLine(process.argv.slice(2), terminal, version);
await Promise.all([flush(writeOut), flush(stderr.write.bind(stderr))]);
// Connections of a configuration module, such as a Redis client, must not keep the process alive.
process.exit(code);
