import { createHash } from 'node:crypto';
import type { DynamicModule, ModuleMetadata, Type } from '@nestjs/common';
import {
  ApolloDriver,
  type ApolloDriverConfig,
  ApolloFederationDriver,
  type ApolloFederationDriverConfig,
} from '@nestjs/apollo';
import { GraphQLModule } from '@nestjs/graphql';
import {
  MercuriusDriver,
  type MercuriusDriverConfig,
  MercuriusFederationDriver,
  type MercuriusFederationDriverConfig,
} from '@nestjs/mercurius';
import { ServiceAuthModule, type ServiceAuthModuleOptions } from 'nestjs-service-auth';
import { guardedDriver, type GuardedDriverOptions } from 'nestjs-service-auth/graphql';
import type { Answer } from '../../../test/support/http/http.js';
import { ObservedEvents } from '../../../test/support/observed/observed-events.js';
import { Caller, type SignedCall } from '../../../test/support/services/caller.js';
import {
  type Adapter,
  startService,
  type TestService,
  type TestServiceOptions,
} from '../../../test/support/services/service.js';

export const CENSUS = 'https://census.service/';
export const USER = 'https://census.service/user/21/';

export interface EndpointOptions {
  /** Undefined: the driver as the package has it, which verifies nothing. */
  readonly guard?: GuardedDriverOptions | undefined;
  /** Merged over the options of GraphQLModule. */
  readonly graphql?: Readonly<Record<string, unknown>>;
}

/** One way to serve GraphQL with Nest. */
export interface Stack {
  readonly title: string;
  readonly adapter: Adapter;
  readonly isMercurius: boolean;
  /** What batches operations. */
  readonly batching: Readonly<Record<string, unknown>>;
  endpoint(options?: EndpointOptions): DynamicModule;
  subgraph(options?: EndpointOptions): DynamicModule;
}

function driverOf<T extends object>(driver: Type<T>, { guard }: EndpointOptions): Type<T> {
  return guard ? guardedDriver(driver, guard) : driver;
}

const GUARDED: EndpointOptions = { guard: {} };

function apollo(adapter: Adapter): Stack {
  const common = { playground: false, csrfPrevention: false } as const;
  return {
    title: `Apollo on ${adapter}`,
    adapter,
    isMercurius: false,
    batching: { allowBatchedHttpRequests: true },
    endpoint: (options = GUARDED) =>
      GraphQLModule.forRoot<ApolloDriverConfig>({
        driver: driverOf(ApolloDriver, options),
        autoSchemaFile: true,
        ...common,
        ...options.graphql,
      }),
    subgraph: (options = GUARDED) =>
      GraphQLModule.forRoot<ApolloFederationDriverConfig>({
        driver: driverOf(ApolloFederationDriver, options),
        autoSchemaFile: { federation: 2 },
        ...common,
        ...options.graphql,
      }),
  };
}

const MERCURIUS: Stack = {
  title: 'Mercurius',
  adapter: 'fastify',
  isMercurius: true,
  batching: { allowBatchedQueries: true },
  endpoint: (options = GUARDED) =>
    GraphQLModule.forRoot<MercuriusDriverConfig>({
      driver: driverOf(MercuriusDriver, options),
      autoSchemaFile: true,
      ...options.graphql,
    }),
  subgraph: (options = GUARDED) =>
    GraphQLModule.forRoot<MercuriusFederationDriverConfig>({
      driver: driverOf(MercuriusFederationDriver, options),
      autoSchemaFile: { federation: 2 },
      ...options.graphql,
    }),
};

/** All that the library says it works with. */
export const STACKS: readonly Stack[] = [apollo('express'), apollo('fastify'), MERCURIUS];

/** A service under test, and two services that may call it. */
export interface GraphQLService extends TestService {
  readonly herald: Caller;
  readonly archive: Caller;
  readonly events: ObservedEvents;
}

export interface GraphQLServiceOptions
  extends ModuleMetadata, Pick<TestServiceOptions, 'adapter' | 'configure' | 'logger'> {
  readonly auth?: Partial<ServiceAuthModuleOptions>;
}

/** Starts a service that trusts herald and archive. */
export async function startGraphQL(options: GraphQLServiceOptions): Promise<GraphQLService> {
  const { auth, imports = [], ...others } = options;
  const herald = new Caller('https://herald.service/', CENSUS);
  const archive = new Caller('https://archive.service/', CENSUS);
  const events = new ObservedEvents();
  const serviceAuth = ServiceAuthModule.forRoot({
    issuer: CENSUS,
    trustedIssuers: [herald.trusted, archive.trusted],
    observer: events,
    ...auth,
  });
  const service = await startService({ ...others, imports: [serviceAuth, ...imports] });
  return { ...service, herald, archive, events };
}

/** One GraphQL request by POST. */
export function operation(query: string, more: object = {}, target = '/graphql'): SignedCall {
  return {
    method: 'POST',
    target,
    body: JSON.stringify({ query, ...more }),
    contentType: 'application/json',
  };
}

/** The same request without a token. */
export function unsigned({ contentType, headers, ...others }: SignedCall) {
  const type = contentType === undefined ? {} : { 'content-type': contentType };
  return { ...others, headers: { ...type, ...headers } };
}

interface FieldError {
  readonly path?: readonly unknown[];
  readonly message: string;
  readonly extensions?: { readonly code?: unknown; readonly serviceAuth?: { code?: unknown } };
}

/** The fields of an answer that were refused, each with the code of the library. */
export function refusedFields({ json }: Answer): Record<string, unknown> {
  const errors = (json?.['errors'] ?? []) as FieldError[];
  return Object.fromEntries(
    errors.map(({ path = [], extensions }) => [path.join('.'), extensions?.serviceAuth?.code]),
  );
}

export function dataOf({ json }: Answer): Record<string, unknown> {
  return (json?.['data'] ?? {}) as Record<string, unknown>;
}

/** An upload as the GraphQL multipart request specification writes it. */
export function upload(query: string, content: string): SignedCall {
  const boundary = 'one-boundary';
  const part = (name: string, text: string, more = '') =>
    `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${more}\r\n\r\n${text}\r\n`;
  const body = [
    part('operations', JSON.stringify({ query, variables: { file: null } })),
    part('map', JSON.stringify({ 0: ['variables.file'] })),
    part('0', content, '; filename="a.txt"\r\ncontent-type: text/plain'),
    `--${boundary}--\r\n`,
  ].join('');
  const contentType = `multipart/form-data; boundary=${boundary}`;
  return { method: 'POST', target: '/graphql', body, contentType };
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
