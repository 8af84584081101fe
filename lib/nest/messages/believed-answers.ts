import { concatMap, defer, EMPTY, from, type Observable, of, throwError } from 'rxjs';
import { catchError, concatWith } from 'rxjs/operators';
import {
  type AnsweredMessage,
  AnswerVerifier,
  isRefusalCode,
  type KeySource,
  ServiceAnswerRefusedError,
} from '../../core/index.js';

/**
 * Verifies the parts of an answer, in order, and hands on what they say.
 *
 * @param answers as the client of the broker emits them
 * @throws in the Observable: ServiceAnswerRefusedError; ServiceAuthUnavailableError `key_unavailable`; the error of the
 *   handler, where it is signed; an error of the client itself, such as a lost connection
 */
export function believedAnswers(
  answers: Observable<unknown>,
  message: AnsweredMessage,
  keys: Pick<KeySource, 'find'>,
): Observable<unknown> {
  const verifier = new AnswerVerifier(message, keys);
  return answers.pipe(
    catchError((error: unknown) => throwError(() => unsignedError(error))),
    concatMap((value) => from(read(value, verifier)).pipe(concatMap((part) => part))),
    concatWith(defer(() => (verifier.isComplete ? EMPTY : throwError(endedEarly)))),
  );
}

async function read(value: unknown, verifier: AnswerVerifier): Promise<Observable<unknown>> {
  const { token, text } = readEnvelope(value);
  const part = await verifier.verify(token, text);
  if (part.text === undefined) return part.isEnd ? EMPTY : of(undefined);
  const said = parse(part.text);
  return part.isError ? throwError(() => said) : of(said);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ServiceAnswerRefusedError('answer_invalid', { detail: 'its text is no JSON', cause });
  }
}

function readEnvelope(value: unknown): {
  readonly token: string;
  readonly text: string | undefined;
} {
  const isObject = typeof value === 'object' && value !== null;
  const token: unknown = isObject ? Reflect.get(value, 'JWT') : undefined;
  const text: unknown = isObject ? Reflect.get(value, 'text') : undefined;
  if (typeof token !== 'string') throw new ServiceAnswerRefusedError('answer_unsigned');
  if (text === undefined || typeof text === 'string') return { token, text };
  throw new ServiceAnswerRefusedError('answer_invalid', { detail: 'its text is no text' });
}

/** What the client itself fails with is an `Error`; what came from the broker is parsed JSON. */
function unsignedError(error: unknown): unknown {
  if (error instanceof Error) return error;
  const code: unknown = Reflect.get(Object(error) as object, 'code');
  const detail = isRefusalCode(code)
    ? `somebody answered ${code}: the log of the called service says whether it did`
    : undefined;
  return new ServiceAnswerRefusedError('answer_unsigned', { detail, cause: error });
}

function endedEarly(): ServiceAnswerRefusedError {
  return new ServiceAnswerRefusedError('answer_mismatch', {
    detail: 'it ended before its last part',
  });
}
