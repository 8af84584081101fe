import { createHash, type JsonWebKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  kindOf,
  OptionReader,
  shownPath,
  type SigningKeyFileOptions,
  type SigningKeyOptions,
  type SigningKeyRingOptions,
} from '../core/index.js';
import { fail } from './key-material.js';
import { isRing } from './signing-key-ring.js';

export type RingOptions = SigningKeyOptions | SigningKeyRingOptions;

export interface Loaded {
  /** Undefined: nothing has changed since the known `version`. */
  readonly options: RingOptions | undefined;
  readonly version?: string;
}

/** The origin of a signing key, or of a ring, from which it is read again while the service runs. */
export interface SigningKeyOrigin {
  /** `known` is the version that was loaded before. */
  load(known: string | undefined): Promise<Loaded>;
  readonly checkSeconds: number;
  /** The path, for messages; undefined without a file. */
  readonly file?: string;
}

const FILE_NAMES = [
  'keyFile',
  'algorithm',
  'keyId',
  'checkSeconds',
] as const satisfies (keyof SigningKeyFileOptions)[];
const FILE_CHECK_SECONDS = 5;
const FUNCTION_CHECK_SECONDS = 60;

/** Keys from a function of the application, such as a client of a vault. */
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

/** Whether the options name a key file, rather than contain keys. */
export function isFileOptions(options: unknown): options is SigningKeyFileOptions {
  return typeof options === 'object' && options !== null && Object.hasOwn(options, 'keyFile');
}

/**
 * A key in a file.
 *
 * @throws ServiceAuthConfigError listing every problem
 */
export function originOfFile(options: SigningKeyFileOptions): SigningKeyOrigin {
  const reader = new OptionReader(options, FILE_NAMES);
  const keyFile = readPath(reader);
  const checkSeconds = reader.value('checkSeconds', isPause, 'write a number from 1 to 3600');
  reader.problems.assertNone();
  // Only the key in the file shows whether these options fit.
  const algorithm = reader.raw('algorithm') as SigningKeyFileOptions['algorithm'];
  const keyId = reader.raw('keyId') as SigningKeyFileOptions['keyId'];
  const load = async (known: string | undefined): Promise<Loaded> => {
    // By its name each time, so that any way of replacing it works.
    const text = await readKeyFile(keyFile);
    const version = createHash('sha256').update(text).digest('base64');
    const options = version === known ? undefined : parseKeyFile(text, { algorithm, keyId });
    return { options, version };
  };
  return {
    load,
    checkSeconds: checkSeconds ?? FILE_CHECK_SECONDS,
    file: shownPath(keyFile),
  };
}

/** Empty if the path is a problem. */
function readPath(reader: OptionReader): string {
  const path = reader.raw('keyFile');
  if (typeof path !== 'string' || path.trim() === '') {
    reader.report('keyFile', `${kindOf(path)}; write the path of a file`);
    return '';
  }
  if (path.includes('-----BEGIN')) {
    reader.report('keyFile', 'is a key and no path; write { privateKey }');
  }
  return path;
}

function isPause(seconds: unknown): seconds is number {
  return typeof seconds === 'number' && seconds >= 1 && seconds <= 3600;
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
  for (const [name, member] of [
    ['algorithm', 'alg'],
    ['keyId', 'kid'],
  ] as const) {
    // With several keys, it would be unclear which one the option is for.
    if (others[name] !== undefined && !Object.values(json).every((jwk) => says(jwk, member))) {
      fail(name, 'remove it: the keys of a ring say it of themselves');
    }
  }
  const entries = Object.entries(json).map(([name, jwk]) => [name, wrap(name, jwk)]);
  return Object.fromEntries(entries) as SigningKeyRingOptions;
}

function says(jwk: unknown, member: 'alg' | 'kid'): boolean {
  return typeof (Object(jwk) as JsonWebKey)[member] === 'string';
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
