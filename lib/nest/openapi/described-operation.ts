import type { OpenAPIObject } from '@nestjs/swagger';
import type { ProofPolicy, RefusalStatus } from '../../core/index.js';
import type { RouteMode } from '../route-mode.decorator.js';
import { grantParameter, isGrantParameter } from './grant-parameter.js';
import {
  BODILESS_REFUSAL_STATUSES,
  REFUSAL_STATUSES,
  refusalResponse,
  refusalSchema,
} from './refusal-responses.js';
import { SERVICE_AUTH_SCHEME } from './service-auth.scheme.js';

/** An Operation Object. The functions change it in place. */
export type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;

type Components = Pick<NonNullable<OpenAPIObject['components']>, 'schemas' | 'responses'>;
type Requirement = Record<string, string[]>;
type ResponseOrReference = NonNullable<Operation['responses'][string]>;
type Response = Exclude<ResponseOrReference, { $ref: string }>;
type Media = Omit<NonNullable<Response['content']>[string], 'example'> & { example?: unknown };

const METHODS_WITH_BODY: ReadonlySet<string> = new Set(['post', 'put', 'patch']);

/** Whether an operation is described as requiring a token, as with `@ApiServiceAuth()`. */
export function asksForToken({ security = [] }: Operation): boolean {
  return security.some((requirement) => SERVICE_AUTH_SCHEME in requirement);
}

/**
 * Adds the token to the requirements of an operation. Each alternative then also requires a token, since every guard
 * of a route must let a request in.
 *
 * @param byDefault the requirements of the whole document
 */
export function askForToken(
  operation: Operation,
  mode: Exclude<RouteMode, 'skip'>,
  byDefault: readonly Requirement[] = [{}],
): void {
  const others = operation.security ?? byDefault;
  const withToken = others.map((other) => ({ ...other, [SERVICE_AUTH_SCHEME]: [] }));
  operation.security = mode === 'optional' ? [...others, ...withToken] : withToken;
}

/** Adds the header of the grant if the route requires a proof and the operation does not describe the header. */
export function askForGrant(operation: Operation, proof: ProofPolicy | undefined): void {
  const { parameters = [] } = operation;
  if (proof === undefined || parameters.some(isGrantParameter)) return;
  operation.parameters = [...parameters, grantParameter(proof)];
}

/**
 * Adds the refusals to the responses of an operation.
 *
 * @returns the statuses whose {@link refusalComponents} it refers to
 */
export function addRefusals(operation: Operation, method: string): readonly RefusalStatus[] {
  const hasBody = operation.requestBody !== undefined || METHODS_WITH_BODY.has(method);
  const statuses = hasBody ? REFUSAL_STATUSES : BODILESS_REFUSAL_STATUSES;
  for (const status of statuses) {
    const theirs = operation.responses[status];
    operation.responses[status] = theirs
      ? joined(theirs, status)
      : { $ref: `#/components/responses/${nameOf(status)}` };
  }
  return statuses;
}

/** The components to which {@link addRefusals} refers, for `components` of the document. */
export function refusalComponents(statuses: ReadonlySet<RefusalStatus>): Components {
  const ordered = [...statuses].toSorted((one, other) => one - other);
  const named = <T>(describe: (status: RefusalStatus) => T) =>
    Object.fromEntries(ordered.map((status) => [nameOf(status), describe(status)]));
  return {
    schemas: named(refusalSchema),
    responses: named((status) => refusalResponse(status, schemaOf(status))),
  };
}

/** The joined responses of handler and guard. A reference cannot be extended, and stays unchanged. */
function joined(theirs: ResponseOrReference, status: RefusalStatus): ResponseOrReference {
  if ('$ref' in theirs) return theirs;
  const ours = refusalResponse(status, schemaOf(status));
  const { 'application/json': media, ...content } = theirs.content ?? {};
  const json: Media = media ?? {};
  const { schema = { type: 'object' }, example, examples, ...others } = json;
  const given = example === undefined ? examples : { example: { value: example } };
  return {
    ...theirs,
    description: [theirs.description, ours.description].filter((text) => text !== '').join(' Or: '),
    headers: { ...ours.headers, ...theirs.headers },
    content: {
      ...content,
      'application/json': {
        ...others,
        schema: { anyOf: [schemaOf(status), schema] },
        examples: { ...ours.content['application/json'].examples, ...given },
      },
    },
  };
}

function nameOf(status: RefusalStatus): string {
  return `ServiceAuthRefusal${status}`;
}

function schemaOf(status: RefusalStatus): { $ref: string } {
  return { $ref: `#/components/schemas/${nameOf(status)}` };
}
