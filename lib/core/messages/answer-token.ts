import { hash } from 'node:crypto';
import { ServiceAnswerRefusedError, ServiceTokenRefusedError } from '../errors.js';
import { assertHeaderProfile, readJoseHeader } from '../jose-header.js';
import type { KeySource } from '../keys.js';
import type { SendingSettings } from '../settings.js';
import { assertSignature, signClaims } from '../token-signature.js';
import { readToken } from '../token-syntax.js';
import type { UnverifiedObject } from '../unambiguous-json.js';

const ANSWER_TYPE = 'ans+jwt';
const HEADER_RULES = {
  type: ANSWER_TYPE,
  typeRequired: true,
  keyIdRequired: true,
  headerMembers: new Set(['alg', 'kid', 'typ']),
} as const;

/** The message that an answer belongs to, and between whom. */
export interface AnsweredMessage {
  /** The service that answers: the `aud` of the message. */
  readonly answerer: string;
  /** The service that asked: the `iss` of the message. */
  readonly asker: string;
  /** The `jti` of the message. */
  readonly tokenId: string;
}

/** One part of an answer, besides its place. */
export interface AnswerPart {
  /** The JSON text of the value or of the error; undefined for the value `undefined`, and for an end without a value. */
  readonly text: string | undefined;
  readonly isError: boolean;
  /** Whether nothing follows. */
  readonly isEnd: boolean;
}

/** Signs the parts of one answer, in their order. */
export class AnswerSigner {
  private next = 0;

  /** @param now milliseconds since the epoch */
  constructor(
    private readonly message: AnsweredMessage,
    private readonly sending: SendingSettings,
    private readonly now: () => number,
  ) {}

  /** @returns the token of the next part */
  async sign({ text, isError, isEnd }: AnswerPart): Promise<string> {
    const { answerer, asker, tokenId } = this.message;
    const claims = {
      iss: answerer,
      aud: asker,
      iat: Math.floor(this.now() / 1000),
      rid: tokenId,
      seq: this.next++,
      end: isEnd ? true : undefined,
      err: isError ? true : undefined,
      bdy: text === undefined ? undefined : hash('sha256', text, 'hex'),
    };
    const key = this.sending.signingKeys.current();
    return await signClaims(claims, { typ: ANSWER_TYPE, kid: key.keyId }, key);
  }
}

/**
 * Verifies the parts of one answer as they come. It has no clock: an answer refers to a message whose random id only the
 * service that waits for it has made, so none can be of another time.
 */
export class AnswerVerifier {
  private next = 0;
  private isOver = false;

  constructor(
    private readonly message: AnsweredMessage,
    private readonly keys: Pick<KeySource, 'find'>,
  ) {}

  /** Whether the last part has come. */
  get isComplete(): boolean {
    return this.isOver;
  }

  /**
   * Verifies the next part.
   *
   * @param token its token
   * @param text the JSON text beside it; undefined where there is none
   * @throws ServiceAnswerRefusedError `answer_invalid`, `answer_mismatch`
   * @throws ServiceAuthUnavailableError `key_unavailable`
   */
  async verify(token: string, text: string | undefined): Promise<AnswerPart> {
    const payload = await this.readSigned(token);
    const { answerer, asker, tokenId } = this.message;
    if (payload['iss'] !== answerer) mismatch('it is of another service');
    if (payload['aud'] !== asker) mismatch('it is for another service');
    if (payload['rid'] !== tokenId) mismatch('it is to another message');
    if (this.isOver) mismatch('something follows its end');
    if (payload['seq'] !== this.next) mismatch('a part is missing, repeated or out of order');
    const digest = text === undefined ? undefined : hash('sha256', text, 'hex');
    if (payload['bdy'] !== digest)
      throw new ServiceAnswerRefusedError('answer_invalid', { detail: 'the data differs' });
    this.next += 1;
    const isEnd = readMark(payload, 'end');
    const isError = readMark(payload, 'err');
    if (text === undefined && isError) invalid('it has no text');
    this.isOver = isEnd || isError;
    return { text, isError, isEnd: this.isOver };
  }

  private async readSigned(compact: string): Promise<UnverifiedObject> {
    return await asAnswer(async () => {
      const token = readToken([compact]);
      const header = readJoseHeader(token.unverifiedHeader);
      assertHeaderProfile(header, token.unverifiedHeader, HEADER_RULES);
      const key = await this.keys.find(header.keyId);
      if (key === undefined) invalid('its key is not known');
      if (!key.algorithms.has(header.algorithm)) invalid('alg is not the algorithm of the key');
      await assertSignature(token, { algorithm: header.algorithm, key: key.key });
      return token.unverifiedPayload;
    });
  }
}

/** @throws ServiceAnswerRefusedError `answer_invalid` for each refusal of a token */
async function asAnswer<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof ServiceTokenRefusedError)) throw error;
    return invalid(error.detail ?? error.code);
  }
}

function readMark(payload: UnverifiedObject, name: string): boolean {
  const value = payload[name];
  if (value === undefined || value === true) return value === true;
  return invalid(`${name} is not true`);
}

function mismatch(detail: string): never {
  throw new ServiceAnswerRefusedError('answer_mismatch', { detail });
}

function invalid(detail: string): never {
  throw new ServiceAnswerRefusedError('answer_invalid', { detail });
}
