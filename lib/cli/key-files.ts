import { readFileSync } from 'node:fs';
import type { JsonWebKey } from 'node:crypto';
import {
  type Algorithm,
  isAlgorithm,
  type KeyMaterial,
  type PublicKeyOptions,
  type PublishedKey,
  ServiceAuthConfigError,
  type SigningKeyOptions,
} from '../core/index.js';
import { readPublishedKey } from '../keys/signing-key-ring.js';
import { failImpossible, failUsage } from './exit-codes.js';

/** Options for keys without their own values: a PEM has no algorithm and no key id. */
export interface KeyWords {
  readonly algorithm?: string | undefined;
  readonly keyId?: string | undefined;
}

/**
 * The public keys in a file: PEM or JWK, private or public, a JWK Set, or the ring of a rotation.
 *
 * @throws CommandFailure naming the file, never with any of its content
 */
export async function readPublishedKeys(path: string, words: KeyWords): Promise<PublishedKey[]> {
  const materials = listMaterials(path);
  if (materials.length > 1 && words.keyId !== undefined) {
    failUsage('--key-id is for one key; these say their key ids of themselves');
  }
  const keys: PublishedKey[] = [];
  for (const material of materials) {
    const options = optionsOf(material, readAlgorithm(words.algorithm), words.keyId);
    keys.push(await withConfigProblems(path, async () => await readPublishedKey(options, '')));
  }
  return keys;
}

/** Checks the name of an algorithm on the command line. */
export function readAlgorithm(name: string | undefined): Algorithm | undefined {
  if (name === undefined || isAlgorithm(name)) return name;
  return failUsage(`--algorithm ${name} is not one of the protocol`);
}

/** Runs `work`, and reports its configuration problems under `place`. */
export async function withConfigProblems<T>(place: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ServiceAuthConfigError)) throw error;
    return failImpossible(`${place}: ${error.problems.join('; ')}`);
  }
}

/** @throws CommandFailure if it cannot be read */
export function readFileBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    return failImpossible(`${path} cannot be read (${codeOf(error)})`);
  }
}

/** The code of a system error, or its name: messages may quote the content. */
export function codeOf(error: unknown): string {
  const { code, name } = Object(error) as { code?: unknown; name?: unknown };
  if (typeof code === 'string') return code;
  return typeof name === 'string' ? name : 'no Error was thrown';
}

function listMaterials(path: string): KeyMaterial[] {
  const text = readFileBytes(path).toString('utf8').trim();
  if (!text.startsWith('{')) return [text];
  const json = parseObject(path, text);
  if (Array.isArray(json['keys'])) return json['keys'] as JsonWebKey[];
  return Object.hasOwn(json, 'kty')
    ? [json as JsonWebKey]
    : (['previous', 'current', 'next'] as const)
        .filter((name) => Object.hasOwn(json, name))
        .map((name) => json[name] as JsonWebKey);
}

function parseObject(path: string, text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return failImpossible(`${path} is neither a PEM nor JSON`);
  }
}

function optionsOf(
  material: KeyMaterial,
  algorithm: Algorithm | undefined,
  keyId: string | undefined,
): SigningKeyOptions | PublicKeyOptions {
  if (isPrivate(material)) return { privateKey: material, algorithm, keyId };
  return { publicKey: material, algorithms: algorithm && [algorithm], keyId };
}

function isPrivate(material: KeyMaterial): boolean {
  if (typeof material === 'string') return material.includes('PRIVATE KEY-----');
  return typeof material === 'object' && material !== null && Object.hasOwn(material, 'd');
}
