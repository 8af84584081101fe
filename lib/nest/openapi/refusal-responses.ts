import {
  REFUSALS,
  type RefusalCode,
  type RefusalStatus,
  ServiceAuthUnavailableError,
  ServiceTokenRefusedError,
  STATUSES,
} from '../../core/index.js';
import { toHttpException } from '../http/http-exception.js';

/** The statuses of refusals of requests with a body. */
export const REFUSAL_STATUSES = (Object.keys(STATUSES) as `${RefusalStatus}`[]).map(
  (status) => Number(status) as RefusalStatus,
);
/** The statuses of refusals of requests without a body. */
export const BODILESS_REFUSAL_STATUSES = REFUSAL_STATUSES.filter(
  (status) => status !== 413 && status !== 415,
);

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

/** One answer of the guard, as on the wire. */
interface RefusalBody {
  readonly statusCode: number;
  readonly message: string;
  readonly error: string;
  readonly code: RefusalCode;
}

/** The Response Object of a status, with `schema` for its body. */
export function refusalResponse<T extends object>(status: RefusalStatus, schema: T) {
  const examples = Object.fromEntries(
    refusalBodies(status).map((value) => [value.code, { value }]),
  );
  return {
    description: STATUSES[status].meaning,
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
    description: STATUSES[status].meaning,
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

/** Every body of the guard's answers with a status, made by the code that answers requests. */
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

function statusesOf(code: RefusalCode): readonly RefusalStatus[] {
  const { status, otherStatuses = [], isOfMessages } = REFUSALS[code];
  return isOfMessages ? [] : [status, ...otherStatuses];
}

type RefusedCode = ConstructorParameters<typeof ServiceTokenRefusedError>[0];

/** Whether the code always answers 503. */
function isUndecided(code: RefusalCode): code is Exclude<RefusalCode, RefusedCode> {
  return REFUSALS[code].status === 503;
}
