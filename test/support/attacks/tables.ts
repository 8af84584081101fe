import type { AttackRow } from './attempt.js';
import { BINDING } from './binding.js';
import { CLAIMS } from './claims.js';
import { CONTENT } from './content.js';
import { GRANTS } from './grants.js';
import { JOSE_HEADER } from './jose-header.js';
import { NAMES } from './names.js';
import { PKCS1 } from './rsa-pkcs1.js';
import { PSS } from './rsa-pss.js';
import { SIGNATURES } from './signatures.js';
import { TIMES } from './times.js';
import { TOKEN_SYNTAX } from './token-syntax.js';

/** The attacks that are one request each: title, and rows with the code that refuses them. */
export const TABLES: [string, readonly AttackRow[]][] = [
  ['token syntax', TOKEN_SYNTAX],
  ['the JOSE header', JOSE_HEADER],
  ['signature and algorithm', SIGNATURES],
  ['PKCS#1 v1.5 encodings', PKCS1],
  ['PSS encodings', PSS],
  ['claims and policy', CLAIMS],
  ['times', TIMES],
  ['issuer and audience', NAMES],
  ['request, headers and body', BINDING],
  ['what says how the body is understood', CONTENT],
  ['grants', GRANTS],
];
