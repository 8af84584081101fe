import { statSync } from 'node:fs';
import { platform } from 'node:os';
import { isAbsolute, resolve } from 'node:path';
import type { SendingSettings } from '../../core/index.js';
import { isFileOptions } from '../../keys/signing-key-origin.js';
import type { UncheckedOptions } from '../configuration-module.js';
import { codeOf } from '../key-files.js';
import { type Check, fail, ok, warn } from './check.js';
import { type Addressed, listed } from './messages.check.js';

const NAME = 'signing key';
const GROUP_AND_OTHERS = 0o077;

/** Checks that only its owner may read the file of the signing key; undefined if the key is not in a file. */
export function checkKeyFile({ signingKey }: UncheckedOptions): Check[] {
  if (!isFileOptions(signingKey)) return [];
  const { keyFile } = signingKey;
  try {
    const mode = statSync(keyFile).mode & 0o777;
    const octal = mode.toString(8).padStart(4, '0');
    // Windows has no file modes, and shows all files as readable by everybody.
    const isOpen = platform() !== 'win32' && (mode & GROUP_AND_OTHERS) !== 0;
    return isOpen
      ? [
          warn(
            'key file',
            `${keyFile} has mode ${octal}: others can use it`,
            `chmod 600 ${keyFile}`,
          ),
        ]
      : [ok('key file', `${keyFile} has mode ${octal}`)];
  } catch (error) {
    const message = `${resolve(String(keyFile))} cannot be read (${codeOf(error)})`;
    return [fail('key file', message, adviceFor(String(keyFile)))];
  }
}

/** A relative path leads somewhere else from another folder, and the key may be there. */
function adviceFor(keyFile: string): string {
  const advice =
    'put the private key there, for this user to read: `npx nestjs-service-auth keygen`';
  if (isAbsolute(keyFile)) return advice;
  return `${keyFile} is relative to the folder that doctor runs in, ${resolve('.')}: run doctor where the service runs. Only if there is no key yet, ${advice}`;
}

/** Reports which key signs. Reading the key has already shown that it can sign. */
export function checkSigningKey(
  sending: SendingSettings | undefined,
  { addressed, answering }: Signers,
): Check[] {
  if (sending) {
    const { algorithm, keyId } = sending.signingKeys.current();
    return [ok(NAME, `${algorithm}, key id ${keyId}`)];
  }
  const signs = listed(addressed.map(({ name }) => name));
  const answers = listed(answering);
  const missing = [
    ...(signs === ''
      ? []
      : [
          fail(
            NAME,
            `none, and these sign: ${signs}. The service does not start (sending_disabled)`,
            'write signingKey, or remove these',
          ),
        ]),
    ...(answers === ''
      ? []
      : [
          warn(
            NAME,
            `none signs the answers of ${answers}: each send that asks for a signed answer fails (request_failed, admission_error)`,
            "write signingKey, or answers: 'unsigned' in forClients() of the callers",
          ),
        ]),
  ];
  return missing.length > 0 ? missing : [ok(NAME, 'not needed, since this service only receives')];
}

/** What of a service signs besides its calls over HTTP. */
interface Signers {
  readonly addressed: readonly Pick<Addressed, 'name'>[];
  /** The guarded handlers that answer messages. */
  readonly answering: readonly string[];
}
