import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { UncheckedOptions } from '../configuration-module.js';
import { type Check, ok, warn } from './check.js';

const NAME = 'shared work';

/** A library that shares work between requests, and so between users. */
interface Library {
  readonly name: string;
  /** From this major version on, the library is safe. */
  readonly rightFrom?: number;
  /** What the library does, and what to write. */
  readonly problem: string;
  readonly cure: string;
  /** `context`: it runs work in the context of another request. `answers`: it gives one user's answer to another. */
  readonly shares: 'context' | 'answers';
  /** It shares answers to requests, instead of answers to calls. */
  readonly isForReceiving?: true;
}

const TASKS =
  'it may run a task in the context of another request, so the call is made for its user';
const IN_THE_TASK = 'write onBehalfOf(caller) in the call, or give it callContext.bind(task)';

/** Each was tested, see docs/for-whom.md. */
const LIBRARIES: readonly Library[] = [
  { name: 'async', problem: TASKS, cure: IN_THE_TASK, shares: 'context' },
  { name: 'async-lock', problem: TASKS, cure: IN_THE_TASK, shares: 'context' },
  { name: 'bottleneck', problem: TASKS, cure: IN_THE_TASK, shares: 'context' },
  {
    name: 'cockatiel',
    problem: `with bulkhead(), ${TASKS}`,
    cure: IN_THE_TASK,
    shares: 'context',
  },
  { name: 'fastq', problem: TASKS, cure: IN_THE_TASK, shares: 'context' },
  {
    name: 'p-limit',
    rightFrom: 5,
    problem: TASKS,
    cure: `update to version 5 or later, or ${IN_THE_TASK}`,
    shares: 'context',
  },
  {
    name: 'p-queue',
    rightFrom: 10,
    problem: TASKS,
    cure: `update to version 10 or later, or ${IN_THE_TASK}`,
    shares: 'context',
  },
  {
    name: '@trpc/client',
    problem: 'httpBatchLink sends operations of several requests in one call, for one user',
    cure: 'use httpLink, or create a client for each request',
    shares: 'context',
  },
  {
    name: '@apollo/client',
    problem:
      'it gives the answer to a query to other requests that ask the same, and BatchHttpLink sends queries of several requests in one call',
    cure: 'create a client for each request, or set queryDeduplication: false and use HttpLink',
    shares: 'answers',
  },
  {
    name: 'dataloader',
    problem:
      'a loader that requests share loads for all of them as one user, and gives what it keeps to others',
    cure: 'create a loader for each request, or put issuer and subject into its keys',
    shares: 'answers',
  },
  {
    name: 'opossum',
    problem: 'with `cache` or `coalesce` it gives the answer of one request to others',
    cure: 'leave both off, or put issuer and subject into `cacheGetKey`',
    shares: 'answers',
  },
  {
    name: 'p-memoize',
    problem: 'it gives the answer of one request to others with the same key',
    cure: 'put issuer and subject into `cacheKey`',
    shares: 'answers',
  },
  {
    name: 'axios-cache-interceptor',
    problem: 'its key is the URL, so it gives the answer for one user to others',
    cure: 'use userCacheKey() of nestjs-service-auth/axios in its `generateKey`',
    shares: 'answers',
  },
  {
    name: '@nestjs/cache-manager',
    problem:
      'the key of its CacheInterceptor is the URL, so it gives the answer for one user to others',
    cure: 'use ServiceCacheInterceptor of nestjs-service-auth/cache on guarded routes',
    shares: 'answers',
    isForReceiving: true,
  },
];

/** The input of {@link checkSharedWork} besides the options. */
export interface SharedWorkParts {
  /** The module that exports the options, whose project is checked. */
  readonly module: string;
  readonly subjectPropagation: unknown;
  /** The names of libraries whose use has been reviewed. */
  readonly reviewed: readonly string[];
}

/**
 * Warns of known libraries that can confuse users, if they are installed direct dependencies of the project.
 * Libraries that only run work in another request's context matter only if calls take their user from the context.
 */
export function checkSharedWork(options: UncheckedOptions, parts: SharedWorkParts): Check[] {
  const project = findProject(dirname(resolve(parts.module)));
  if (project === undefined) return [];
  const sends = options['signingKey'] !== undefined;
  const receives = options['trustedIssuers'] !== undefined;
  const isAmbient = parts.subjectPropagation === 'ambient';
  const found = LIBRARIES.filter(({ name }) => project.dependencies.includes(name))
    .filter(({ isForReceiving }) => (isForReceiving ? receives : sends))
    .filter(({ shares }) => shares === 'answers' || isAmbient)
    .flatMap((library) => {
      const version = installedVersion(library.name, project.folder);
      return version === undefined || isRight(library, version) ? [] : [{ library, version }];
    });
  if (found.length === 0) return [ok(NAME, 'no library that is known to mix up users')];
  return found.map(({ library: { name, problem, cure }, version }) =>
    parts.reviewed.includes(name)
      ? ok(NAME, `${name} ${version}: reviewed`)
      : warn(NAME, `${name} ${version}: ${problem}`, cure),
  );
}

/** An unreadable version counts as unsafe. */
function isRight({ rightFrom = Infinity }: Library, version: string): boolean {
  return Number.parseInt(version, 10) >= rightFrom;
}

interface Project {
  readonly folder: string;
  readonly dependencies: readonly string[];
}

/** The nearest package.json with dependencies: one in a build folder may only set the module format. */
function findProject(folder: string): Project | undefined {
  const manifest = readManifest(join(folder, 'package.json'));
  const lists = [manifest['dependencies'], manifest['optionalDependencies']];
  if (lists.some((list) => list !== undefined)) {
    return { folder, dependencies: lists.flatMap((list) => Object.keys(Object(list) as object)) };
  }
  const parent = dirname(folder);
  return parent === folder ? undefined : findProject(parent);
}

/**
 * Searches the folders that Node searches. `require.resolve()` fails, since few packages export their package.json.
 */
function installedVersion(name: string, folder: string): string | undefined {
  const { version } = readManifest(join(folder, 'node_modules', name, 'package.json'));
  if (typeof version === 'string') return version;
  const parent = dirname(folder);
  return parent === folder ? undefined : installedVersion(name, parent);
}

/** Empty if the file is missing or unreadable. */
function readManifest(file: string): Readonly<Record<string, unknown>> {
  try {
    const manifest: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return Object(manifest) as Record<string, unknown>;
  } catch {
    return {};
  }
}
