import { createHash, type JsonWebKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  kindOf,
  shownPath,
  type SigningKeyFileOptions,
  type SigningKeyOptions,
  type SigningKeyRingOptions,
  unknownOption,
} from '../core/index.js';
import { fail } from './key-material.js';
import { isRing } from './signing-key-ring.js';

export type RingOptions = SigningKeyOptions | SigningKeyRingOptions;

export interface Loaded {
  /** Undefined: nothing has changed since `version` was loaded. */
  readonly options: RingOptions | undefined;
  readonly version?: string;
}

/** Where a signing key, or a ring of them, comes from while the service runs. */
export interface SigningKeyOrigin {
  /** `known` is the version that was loaded before. */
  load(known: string | undefined): Promise<Loaded>;
  readonly checkSeconds: number;
  /** The path, for messages; undefined where there is no file. */
  readonly file?: string;
}

const FILE_NAMES = ['keyFile', 'algorithm', 'keyId', 'checkSeconds'];
const FILE_CHECK_SECONDS = 5;
const FUNCTION_CHECK_SECONDS = 60;

/** Keys that a function of the application gives: from a vault, say. */
export function originOfFunction(read: () => Promise<RingOptions>): SigningKeyOrigin {
  const load = async (): Promise<Loaded> => {
    try {
      return { options: (await read()) ?? ({} as RingOptions) };
    } catch (error) {
      return fail('privateKey', `the function that gives it failed (${labelOf(error)})`);
    }
  };
  return { load, checkSeconds: FUNCTION_CHECK_SECONDS };
}

/** Tells options of a key file from options with keys in them. */
export function isFileOptions(options: unknown): options is SigningKeyFileOptions {
  return typeof options === 'object' && options !== null && Object.hasOwn(options, 'keyFile');
}

/**
 * A key in a file.
 *
 * @throws ServiceAuthConfigError with one problem
 */
export function originOfFile(options: SigningKeyFileOptions): SigningKeyOrigin {
  const { keyFile, algorithm, keyId, checkSeconds = FILE_CHECK_SECONDS, ...others } = options;
  const stranger = Object.keys(others)[0];
  if (stranger !== undefined) fail(stranger, unknownOption(stranger, FILE_NAMES));
  if (typeof keyFile !== 'string' || keyFile.trim() === '') {
    fail('keyFile', `${kindOf(keyFile)}; write the path of a file`);
  }
  if (keyFile.includes('-----BEGIN')) fail('keyFile', 'is a key and no path; write { privateKey }');
  if (typeof checkSeconds !== 'number' || !(checkSeconds >= 1 && checkSeconds <= 3600)) {
    fail('checkSeconds', 'write a number from 1 to 3600');
  }
  const load = async (known: string | undefined): Promise<Loaded> => {
    // By its name each time, so that it does not matter how it was replaced.
    const text = await readKeyFile(keyFile);
    const version = createHash('sha256').update(text).digest('base64');
    const options = version === known ? undefined : parseKeyFile(text, { algorithm, keyId });
    return { options, version };
  };
  return { load, checkSeconds, file: shownPath(keyFile) };
}

async function readKeyFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    return fail('keyFile', `${shownPath(path)} cannot be read (${labelOf(error)})`);
  }
}

/** A PEM, or JSON: a private JWK, or `{ "current": ..., "next": ..., "previous": ... }` of JWKs. */
function parseKeyFile(
  text: string,
  others: Pick<SigningKeyOptions, 'algorithm' | 'keyId'>,
): RingOptions {
  if (!text.trimStart().startsWith('{')) return { privateKey: text, ...others };
  const json = parseJson(text);
  if (!isRing(json)) return { privateKey: json, ...others };
  for (const [name, value] of Object.entries(others)) {
    // Which of the keys would it be for?
    if (value !== undefined) fail(name, 'remove it: the keys of a ring say it of themselves');
  }
  const entries = Object.entries(json).map(([name, jwk]) => [name, wrap(name, jwk)]);
  return Object.fromEntries(entries) as SigningKeyRingOptions;
}

function wrap(name: string, jwk: unknown): object {
  const isPrivate = typeof jwk === 'object' && jwk !== null && Object.hasOwn(jwk, 'd');
  return name === 'current' || isPrivate ? { privateKey: jwk } : { publicKey: jwk };
}

function parseJson(text: string): JsonWebKey {
  try {
    return Object(JSON.parse(text)) as JsonWebKey;
  } catch {
    return fail('keyFile', 'write a PEM or JSON file; this is neither');
  }
}

/** The name or the code of an error: its message might quote a key. */
export function labelOf(error: unknown): string {
  const { code, name } = Object(error) as { code?: unknown; name?: unknown };
  if (typeof code === 'string') return code;
  return typeof name === 'string' ? name : 'no Error was thrown';
}
