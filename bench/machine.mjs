/** Where figures come from: they mean nothing without it. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';

/** What is measured, what it is measured beside, and what both run on. */
const PACKAGES = [
  'nestjs-service-auth',
  '@nestjs/core',
  '@nestjs/jwt',
  '@nestjs/passport',
  'axios',
  'express',
  'fast-jwt',
  'fastify',
  'http-message-signatures',
  'ioredis',
  'jose',
  'jsonwebtoken',
  'passport-jwt',
  'undici',
];

/** The machine, its Node.js, and the version of each package. */
export function machine() {
  return {
    node: process.version,
    openssl: process.versions.openssl,
    cpu: `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}`,
    system: `${process.platform} ${release()}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    versions: Object.fromEntries(PACKAGES.map((name) => [name, versionOf(name)])),
  };
}

/** In the folders of packages that Node searches from here. @param {string} name */
function manifestOf(name) {
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const files = folders.map((folder) => join(folder, name, 'package.json'));
  const file = files.find((each) => existsSync(each));
  if (file === undefined) throw new Error(`${name} is not installed`);
  return file;
}

/** @param {string} name @returns {string} */
function versionOf(name) {
  const own = new URL('../package.json', import.meta.url);
  const file = name === 'nestjs-service-auth' ? own : manifestOf(name);
  const manifest = readFileSync(file, 'utf8');
  const { version } = /** @type {{ version: string }} */ (JSON.parse(manifest));
  return version;
}
