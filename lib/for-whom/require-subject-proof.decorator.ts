import { applyDecorators } from '@nestjs/common';
import { isScopeToken, OptionReader, type ProofPolicy } from '../core/index.js';
import { markRoute } from '../nest/route-mark.js';
import { RequireSubject } from './require-subject.decorator.js';

export const SUBJECT_PROOF = 'nestjs-service-auth:subject-proof';

/** The options of `@RequireSubjectProof()`. Each member narrows, except the age. */
export interface RequireSubjectProofOptions {
  /**
   * How old the grant may be, 1 to 604800 seconds. Default 300. A value over 300 counts only for issuers whose
   * `subjectProof.maxAgeSeconds` is as large.
   */
  readonly maxAgeSeconds?: number;
  /** The grant must have this scope, or all of these. */
  readonly scope?: string | readonly string[];
  /** Only these services may vouch for the user. */
  readonly originators?: readonly string[];
  /** The user must have authenticated in this way, or in one of these ways. */
  readonly acr?: string | readonly string[];
}

const OPTION_NAMES = [
  'maxAgeSeconds',
  'scope',
  'originators',
  'acr',
] as const satisfies (keyof RequireSubjectProofOptions)[];

const WEEK_SECONDS = 604_800;

/**
 * Requires callers of a route, or of every route of a controller, to prove with a grant that the user asked, whatever
 * the `subjectProof` of their issuer is. Other callers get 403, with a code such as `grant_missing`. Requires a user
 * as `@RequireSubject()` does.
 *
 * Several of these decorators on a route add up, and the smallest age counts.
 *
 * @example
 * `@RequireSubjectProof({ maxAgeSeconds: 60, scope: 'user:delete' })`
 * @throws ServiceAuthConfigError for invalid options
 */
export function RequireSubjectProof(
  options: RequireSubjectProofOptions = {},
): ClassDecorator & MethodDecorator {
  const policy = readPolicy(options);
  const proof = markRoute<readonly ProofPolicy[]>(SUBJECT_PROOF, (asked = []) => [
    ...asked,
    policy,
  ]);
  return applyDecorators(RequireSubject(), proof);
}

function readPolicy(options: RequireSubjectProofOptions): ProofPolicy {
  const reader = new OptionReader(options, OPTION_NAMES);
  const maxAgeSeconds =
    options.maxAgeSeconds === undefined
      ? undefined
      : reader.integer('maxAgeSeconds', { from: 1, to: WEEK_SECONDS, fallback: 1 });
  const scopes = textsIn(options.scope);
  const acrs = textsIn(options.acr);
  if (!scopes.every(isScopeToken))
    reader.report('scope', "write a text without spaces, as 'user:delete'");
  if (!acrs.every(isText)) reader.report('acr', 'write the name of an authentication context');
  const originators = reader.uris('originators');
  for (const name of ['scope', 'acr', 'originators']) {
    if (reader.isEmptyList(name)) reader.report(name, 'name at least one, or leave it out');
  }
  reader.problems.assertNone();
  return {
    maxAgeSeconds,
    scopes,
    originators: originators.length > 0 ? [new Set(originators)] : [],
    acrs: acrs.length > 0 ? [new Set(acrs)] : [],
  };
}

function textsIn(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : [value].flat();
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

/** The requirements of several decorators together; undefined if there are none. */
export function mergeProofs(asked: readonly ProofPolicy[]): ProofPolicy | undefined {
  if (asked.length === 0) return undefined;
  const ages = asked.flatMap(({ maxAgeSeconds }) => maxAgeSeconds ?? []);
  return {
    maxAgeSeconds: ages.length > 0 ? Math.min(...ages) : undefined,
    scopes: [...new Set(asked.flatMap(({ scopes = [] }) => scopes))],
    originators: [...new Set(asked.flatMap(({ originators = [] }) => originators))],
    acrs: [...new Set(asked.flatMap(({ acrs = [] }) => acrs))],
  };
}
