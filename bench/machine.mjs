/** Where figures come from: they mean nothing without it. */
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

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

/** @param {string} name @returns {string} */
function versionOf(name) {
  const folder = name === 'nestjs-service-auth' ? '..' : `../node_modules/${name}`;
  const manifest = readFileSync(new URL(`${folder}/package.json`, import.meta.url), 'utf8');
  const { version } = /** @type {{ version: string }} */ (JSON.parse(manifest));
  return version;
}
