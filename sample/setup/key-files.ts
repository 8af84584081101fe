import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from './environment.js';
import { type KeyOwner, SERVICE_URIS } from './services.js';

/** PKCS#8 PEM. */
export function readPrivateKey(directory: string, owner: KeyOwner): string {
  return readKeyFile(privateKeyFile(directory, owner));
}

/** SPKI PEM. */
export function readPublicKey(directory: string, owner: KeyOwner): string {
  return readKeyFile(publicKeyFile(directory, owner));
}

/**
 * Makes an ES256 key pair for everybody who has none yet; what is there is kept. A public key that
 * is missing is made from its private key, a private key is never made for an existing public one.
 *
 * @returns whose keys are new
 */
export function ensureKeyFiles(directory: string): KeyOwner[] {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const owners = Object.keys(SERVICE_URIS) as KeyOwner[];
  return owners.filter((owner) => ensureKeyPair(directory, owner));
}

function ensureKeyPair(directory: string, owner: KeyOwner): boolean {
  if (existsSync(publicKeyFile(directory, owner))) return false;
  const file = privateKeyFile(directory, owner);
  const isNew = !existsSync(file);
  const privateKey = isNew ? makePrivateKey() : readExisting(file);
  if (isNew) write(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600);
  const publicPem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' });
  write(publicKeyFile(directory, owner), publicPem, 0o644);
  return isNew;
}

function makePrivateKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

function readExisting(file: string): KeyObject {
  try {
    return createPrivateKey(readKeyFile(file));
  } catch {
    throw new SetupError(`${file} is no private key in PEM: put one there, or remove the file.`);
  }
}

/** `wx`: never over a key that appeared meanwhile. */
function write(file: string, pem: string | Buffer, mode: number): void {
  writeFileSync(file, pem, { flag: 'wx', mode });
}

function readKeyFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    throw new SetupError(`${file} cannot be read: the keys are made by \`npm start\`.`);
  }
}

export function privateKeyFile(directory: string, owner: KeyOwner): string {
  return join(directory, `${owner}.private.pem`);
}

export function publicKeyFile(directory: string, owner: KeyOwner): string {
  return join(directory, `${owner}.public.pem`);
}
