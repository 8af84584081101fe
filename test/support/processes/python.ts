import { execFile, spawnSync } from 'node:child_process';

/** The first Python that has PyJWT, and what PyJWT needs for ES256; undefined where there is none. */
export const python = [process.env['PYTHON'] ?? '', '/usr/bin/python3', 'python3']
  .filter(Boolean)
  .find((candidate) => spawnSync(candidate, ['-c', 'import jwt, cryptography']).status === 0);

export interface Outcome {
  readonly ok: boolean;
  /** What it wrote to both of its streams. */
  readonly output: string;
}

/** Runs a script, and gives it `input` on its standard input. */
export async function runPython(
  script: string,
  args: readonly string[],
  input = '',
): Promise<Outcome> {
  return await new Promise((resolve) => {
    const options = { timeout: 60_000 };
    const child = execFile(python ?? '', [script, ...args], options, (error, stdout, stderr) => {
      resolve({ ok: error === null, output: `${stdout}${stderr}`.trim() });
    });
    child.stdin?.end(input);
  });
}
