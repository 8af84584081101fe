import {
  REFUSALS,
  type RefusalCode,
  ServiceAuthUnavailableError,
  ServiceTokenRefusedError,
} from '../../core/index.js';
import { toHttpException } from '../http/http-exception.js';

/** The statuses that the guard answers with. Those of bodies stand for requests that have one. */
export const REFUSAL_STATUSES = [401, 403, 431, 503] as const;
export const BODY_REFUSAL_STATUSES = [413, 415] as const;

export type RefusalStatus =
  (typeof REFUSAL_STATUSES)[number] | (typeof BODY_REFUSAL_STATUSES)[number];

const DESCRIPTIONS: Readonly<Record<RefusalStatus, string>> = {
  401: 'There is no service token, or one that proves nothing here.',
  403: 'The service token is good, and policy says no.',
  413: 'The body is larger than this service takes in to verify it.',
  415: 'The bytes of the body are missing here, so this service cannot verify them.',
  431: 'The request has more headers than this service can verify.',
  503: 'This service cannot decide at the moment. The request may be sent again, with a new token.',
};

const HEADERS = {
  401: {
    'WWW-Authenticate': {
      description: 'The name of this service, and the code when a token was sent.',
      schema: {
        type: 'string',
        example: 'JWT realm="https://census.service/", error="token_expired"',
      },
    },
  },
  503: {
    'Retry-After': {
      description: 'When it makes sense to ask again, in seconds.',
      schema: { type: 'integer', minimum: 1, example: 1 },
    },
  },
};

/** One answer of the guard, as it is written on the wire. */
interface RefusalBody {
  readonly statusCode: number;
  readonly message: string;
  readonly error: string;
  readonly code: RefusalCode;
}

/** The Response Object of a status, with `schema` for what its body looks like. */
export function refusalResponse<T extends object>(status: RefusalStatus, schema: T) {
  const examples = Object.fromEntries(
    refusalBodies(status).map((value) => [value.code, { value }]),
  );
  return {
    description: DESCRIPTIONS[status],
    ...(status === 401 || status === 503 ? { headers: HEADERS[status] } : {}),
    content: { 'application/json': { schema, examples } },
  };
}

/** The Schema Object of the bodies of a status: Nest's error shape plus a stable `code`. */
export function refusalSchema(status: RefusalStatus) {
  const bodies = refusalBodies(status);
  const distinct = (values: readonly (string | number)[]) => [...new Set(values)];
  return {
    type: 'object',
    description: DESCRIPTIONS[status],
    required: ['statusCode', 'message', 'error', 'code'],
    properties: {
      statusCode: { type: 'integer', enum: [status] },
      message: { type: 'string', description: 'For people: one fixed sentence for each code.' },
      error: { type: 'string', enum: distinct(bodies.map(({ error }) => error)) },
      code: {
        type: 'string',
        enum: distinct(bodies.map(({ code }) => code)),
        description: 'For programs: why the request was refused.',
      },
    },
  };
}

/** Every body the guard answers a status with: made by the code that answers requests. */
function refusalBodies(status: RefusalStatus): RefusalBody[] {
  return codesOf(status).map((code) => {
    const error = isUndecided(code)
      ? new ServiceAuthUnavailableError(code)
      : new ServiceTokenRefusedError(code, { status });
    return toHttpException(error).getResponse() as RefusalBody;
  });
}

function codesOf(status: RefusalStatus): RefusalCode[] {
  const codes = Object.keys(REFUSALS) as RefusalCode[];
  return codes.filter((code) => statusesOf(code).includes(status));
}

/** A body over a limit is 413, and one there is no room for on the disk 503. */
function statusesOf(code: RefusalCode): readonly number[] {
  const { status } = REFUSALS[code];
  return code === 'body_unverifiable' ? [413, status, 503] : [status];
}

type RefusedCode = ConstructorParameters<typeof ServiceTokenRefusedError>[0];

/** Whether the code stands for nothing but a 503. */
function isUndecided(code: RefusalCode): code is Exclude<RefusalCode, RefusedCode> {
  return REFUSALS[code].status === 503;
}
