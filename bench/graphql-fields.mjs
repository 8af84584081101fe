// oxlint-disable typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access -- packages without types here
// What the guard costs for each further field of a GraphQL operation, beside a guard that does nothing:
//   npm run build && node scripts/test-graphql.mjs && node bench/graphql-fields.mjs [rounds]
// One request is signed and verified over HTTP. Its fields are then resolved again and again by graphql-js, in pairs: the one
// schema with our guard, the other one with a guard that answers true, in turns. Nest's own part is in both.
import 'reflect-metadata';
import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Injectable, Module, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AllowIssuers, ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { guardedDriver } from 'nestjs-service-auth/graphql';

const FOLDER = join(import.meta.dirname, '../tools/graphql');
const FIELDS = 100;
const OPERATIONS = 50;
const ROUNDS = Number(process.argv[2] ?? 60);
const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';

/**
 * A package of GraphQL, from the folder where it is installed.
 *
 * @param {string} name
 * @returns {Promise<any>}
 */
async function load(name) {
  const path = createRequire(join(FOLDER, 'package.json')).resolve(name);
  return await import(pathToFileURL(path).href);
}

const { ApolloDriver } = await load('@nestjs/apollo');
const { GraphQLModule, GraphQLSchemaHost, Query, Resolver } = await load('@nestjs/graphql');
const { execute, parse } = await load('graphql');

class NoGuard {
  async canActivate() {
    return true;
  }
}
Injectable()(NoGuard);

/** @param {object} guard */
function resolverWith(guard) {
  class BenchResolver {
    plain() {
      return 'plain';
    }
    narrowed() {
      return 'narrowed';
    }
  }
  const { prototype } = BenchResolver;
  for (const name of /** @type {const} */ (['plain', 'narrowed'])) {
    const descriptor = /** @type {PropertyDescriptor} */ (
      Object.getOwnPropertyDescriptor(prototype, name)
    );
    Query(() => String, { name })(prototype, name, descriptor);
    UseGuards(/** @type {never} */ (guard))(prototype, name, descriptor);
    if (name === 'narrowed') AllowIssuers(HERALD)(prototype, name, descriptor);
    Reflect.defineMetadata('design:paramtypes', [], prototype, name);
  }
  Resolver()(BenchResolver);
  return BenchResolver;
}

/** Starts a service, sends it one signed operation, and keeps what its resolvers get. @param {object} guard */
async function start(guard) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  /** @type {unknown} */
  let request;
  class BenchModule {}
  Module({
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        trustedIssuers: [{ issuer: HERALD, publicKey }],
      }),
      GraphQLModule.forRoot({
        driver: guardedDriver(ApolloDriver),
        autoSchemaFile: true,
        playground: false,
        context: (/** @type {{ req: unknown }} */ { req }) => ({ req: (request = req) }),
      }),
    ],
    providers: [/** @type {never} */ (resolverWith(guard)), NoGuard],
  })(BenchModule);
  const app = await NestFactory.create(BenchModule, { logger: false });
  await app.listen(0, '127.0.0.1');
  const url = `${await app.getUrl()}/graphql`;
  const herald = await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey },
    targets: [{ baseUrl: url, audience: CENSUS }],
  });
  const headers = { 'content-type': 'application/json' };
  const body = Buffer.from(JSON.stringify({ query: '{ plain }' }));
  const JWT = (await herald.sign({ method: 'POST', url, headers, body, subject: undefined })) ?? '';
  const answer = await fetch(url, { method: 'POST', headers: { ...headers, JWT }, body });
  if (answer.status !== 200) throw new Error(`Not accepted: ${await answer.text()}`);
  const { schema } = app.get(GraphQLSchemaHost, { strict: false });
  return { schema, contextValue: { req: request }, close: async () => await app.close() };
}

/** Microseconds for one operation. @param {object} service @param {unknown} document */
async function measure(service, document) {
  const start = performance.now();
  for (let each = 0; each < OPERATIONS; each++) {
    const { errors } = await execute({ ...service, document });
    if (errors) throw errors[0];
  }
  return ((performance.now() - start) * 1000) / OPERATIONS;
}

const guarded = await start(ServiceJwtGuard);
const bare = await start(NoGuard);
for (const field of ['plain', 'narrowed']) {
  const names = Array.from({ length: FIELDS }, (_, at) => `f${at}: ${field}`);
  const document = parse(`{ ${names.join(' ')} }`);
  /** @type {number[]} */
  const differences = [];
  for (let round = -10; round < ROUNDS; round++) {
    const first = round % 2 === 0 ? guarded : bare;
    const one = await measure(first, document);
    const other = await measure(first === guarded ? bare : guarded, document);
    const difference = (first === guarded ? one - other : other - one) / FIELDS;
    if (round >= 0) differences.push(difference);
  }
  differences.sort((one, other) => one - other);
  const at = (/** @type {number} */ part) => differences[Math.floor(part * ROUNDS)]?.toFixed(2);
  console.log(
    `${field}: ${at(0.5)} us for each further field (quarter ${at(0.25)}, three quarters ${at(0.75)}; ${ROUNDS} pairs)`,
  );
}
await guarded.close();
await bare.close();
process.exit(0);
