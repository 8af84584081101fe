// The vectors in a language that shares no code with this project: node test/vectors/python-vectors.mjs
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('verify_vectors.py', import.meta.url));

const candidates = [process.env['PYTHON'] ?? '', '/usr/bin/python3', 'python3'].filter(Boolean);
const python = candidates.find(
  (candidate) => spawnSync(candidate, ['-c', 'import jwt, cryptography']).status === 0,
);
if (python) {
  const { status } = spawnSync(python, [SCRIPT], { stdio: 'inherit', timeout: 120_000 });
  process.exitCode = status ?? 1;
} else {
  console.log('skipped: no Python with PyJWT: set PYTHON, or install python3-jwt');
  if (process.env['CI'] === 'true' || process.env['REQUIRE_ALL'] === '1') process.exitCode = 1;
}
