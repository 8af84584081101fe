import { Validator } from '@seriousme/openapi-schema-validator';
import { DocumentBuilder, type OpenAPIObject } from '@nestjs/swagger';

export type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;

/** What every document here begins with; of this version of OpenAPI. */
export function builderFor(version = '3.0.3'): DocumentBuilder {
  return new DocumentBuilder().setTitle('Census').setVersion('1').setOpenAPIVersion(version);
}

/** What is wrong with a document; empty: it is what OpenAPI says it must be, and every reference leads somewhere. */
export async function problemsOf(document: OpenAPIObject): Promise<unknown> {
  // As it is served: what JSON leaves out is not there.
  const served = JSON.parse(JSON.stringify(document)) as Record<string, unknown>;
  const { valid, errors } = await new Validator().validate(served);
  if (!valid) return errors ?? 'not valid';
  return referencesIn(document).filter((reference) => resolve(document, reference) === undefined);
}

/** What a document says of an answer to an operation, wherever it says it. */
export function responseOf(document: OpenAPIObject, operation: Operation, status: number) {
  const response = operation.responses[status];
  if (response === undefined || !('$ref' in response)) return response;
  return resolve(document, response.$ref) as Exclude<typeof response, { $ref: string }>;
}

export function operationAt(
  document: OpenAPIObject,
  path: string,
  method: 'get' | 'post' | 'put' | 'delete' = 'get',
): Operation {
  const operation = document.paths[path]?.[method];
  if (operation) return operation;
  throw new Error(`${method} ${path} is not among ${Object.keys(document.paths).join(', ')}`);
}

function referencesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = '$ref' in value && typeof value.$ref === 'string' ? [value.$ref] : [];
  return [...own, ...Object.values(value).flatMap(referencesIn)];
}

function resolve(document: OpenAPIObject, reference: string): unknown {
  return reference
    .split('/')
    .slice(1)
    .reduce<unknown>((at, name) => Reflect.get(Object(at) as object, name), document);
}
