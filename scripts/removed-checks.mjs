// The checks of the verify path, each as the edit that takes it out: read by scripts/test-removed-checks.mjs.

/**
 * @typedef {object} Removal
 * @property {string} check what the check asks, in a few words
 * @property {string} file
 * @property {string} text what is taken out: it must stand in the file exactly once
 * @property {string} [instead] what is put in its place. Default: nothing
 * @property {string} [spec] the test file that must notice
 * @property {string} [tests] the tests of that file to run, as a pattern. Default: all
 */

const CORE = 'test/core/attacks.spec.ts';
const NEIGHBOURS = 'test/core/removed-checks.spec.ts';
const STORE = 'test/replay/memory-replay-store.spec.ts';
const HTTP = 'test/nest/refusals.spec.ts';
const SEQUENCES = 'test/nest/attack-sequences.spec.ts';
const GUARD = 'test/nest/guard-checks.spec.ts';

/** @param {string} file @param {Omit<Removal, 'file'>[]} removals @returns {Removal[]} */
const inFile = (file, removals) => removals.map((removal) => ({ file, ...removal }));

const SYNTAX = inFile('lib/core/token-syntax.ts', [
  {
    check: 'a token has at most 8192 characters',
    text: `  if (compact.length > MAX_TOKEN_LENGTH) refuse('token_too_large');\n`,
  },
  {
    check: 'one header holds one token',
    text: `  if (JOINED_TOKENS.test(compact)) refuse('token_repeated', 'several tokens in one header');\n`,
  },
  {
    check: 'three segments of base64url',
    text: `    refuse('token_malformed', 'not three base64url segments');\n`,
  },
  { check: 'the signature is canonical base64url', text: `  decodeCanonical(encodedSignature);\n` },
  {
    check: 'the request has one JWT header',
    text: `  if (values.length > 1) refuse('token_repeated', 'several JWT headers');\n`,
  },
  {
    check: 'the JWT header is not empty',
    text: `return value === '' ? refuse('token_missing') : value;`,
    instead: 'return value;',
  },
  {
    check: 'no stray bits in base64url',
    text: `  if (!hasCanonicalEnd(segment)) refuse('token_malformed', 'base64url not canonical');\n`,
  },
  {
    check: 'no stray bits after one byte over',
    text: `return 'AQgw'.includes(last);`,
    instead: 'return true;',
  },
  {
    check: 'no stray bits after two bytes over',
    text: `return 'AEIMQUYcgkosw048'.includes(last);`,
    instead: 'return true;',
  },
  {
    check: 'what is no JSON is refused, not thrown',
    text: `    return refuse(error.kind === 'members' ? code : 'token_malformed', error.message);`,
    instead: '    throw error;',
  },
]);

const JSON_TEXT = inFile('lib/core/unambiguous-json.ts', [
  {
    check: 'header and payload are objects',
    text: `  if (!isObject(value)) throw new JsonFlaw('text', 'not a JSON object');\n`,
  },
  {
    check: 'no duplicate members',
    text: `  if (members !== countNames(json)) throw new JsonFlaw('members', 'duplicate member');\n`,
  },
  {
    check: 'an object without a prototype',
    text: `Object.setPrototypeOf(value, null) as UnverifiedObject`,
    instead: 'value',
    spec: HTTP,
    tests: 'CL-21',
  },
  { check: 'UTF-8 is well formed', text: 'fatal: true, ', instead: '' },
  { check: 'no byte order mark', text: ', ignoreBOM: true', instead: '' },
  {
    check: 'header and payload are JSON',
    text: `throw new JsonFlaw('text', 'not JSON in UTF-8');`,
    instead: `return { json: '{}', value: {} };`,
  },
  {
    check: 'member names are looked at',
    text: `    for (const name of names) assertName(name, hasEscapes);\n`,
  },
  {
    check: 'no nesting deeper than 16',
    text: "  if (depth > MAX_DEPTH) throw new JsonFlaw('members', `nested deeper than ${MAX_DEPTH}`);\n",
  },
  {
    check: 'no __proto__, no constructor',
    text: `  if (FORBIDDEN_NAMES.has(name)) throw new JsonFlaw('members', 'member with a forbidden name');\n`,
  },
  {
    check: 'no lone surrogate in a value',
    text: 'assertWellFormed(member);',
    instead: 'void 0;',
  },
  {
    check: 'no lone surrogate in a name',
    text: `  if (hasEscapes) assertWellFormed(name);\n`,
    spec: NEIGHBOURS,
    tests: 'TS-28',
  },
  {
    check: 'no lone surrogates',
    text: `  if (!text.isWellFormed()) throw new JsonFlaw('text', 'a string with a lone surrogate');\n`,
  },
]);

const HEADER = inFile('lib/core/jose-header.ts', [
  {
    check: 'alg is a string',
    text: `  if (typeof alg !== 'string') refuse('header_invalid', 'alg is not a string');\n`,
  },
  {
    check: 'no critical extension',
    text: `  if ('crit' in header) refuse('header_invalid', 'crit is refused');\n`,
  },
  {
    check: 'kid has the form of a key id',
    text: `  if (kid !== undefined && !isKeyId(kid)) refuse('header_invalid', 'kid is not acceptable');\n`,
  },
  {
    check: 'typ is a string',
    text: `  if (typ !== undefined && typeof typ !== 'string') refuse('header_invalid', 'typ is not a string');\n`,
  },
  {
    check: 'alg is one of the protocol',
    text: `  if (!isAlgorithm(alg)) refuse('algorithm_refused', 'alg is not one of the protocol');\n`,
    spec: NEIGHBOURS,
    tests: 'SG-09',
  },
  {
    check: 'only the members of the profile',
    text: `  if (stranger !== undefined) refuse('header_invalid', 'a member the profile does not allow');\n`,
  },
  {
    check: 'typ is that of the profile',
    text: "mediaType(header.type) !== rules.type) {\n    refuse('header_invalid', `typ is not ${rules.type}`);",
    instead: 'false) {\n',
  },
  { check: 'typ is there', text: 'rules.typeRequired', instead: 'false' },
  {
    check: 'kid is there',
    text: `  if (header.keyId === undefined && rules.keyIdRequired) refuse('key_unknown', 'no kid');\n`,
    tests: 'HP-12',
  },
  { check: 'kid is a string', text: `    typeof kid === 'string' &&\n` },
  { check: 'kid is not empty', text: `    kid !== '' &&\n` },
  { check: 'kid has at most 256 characters', text: `    kid.length <= MAX_KEY_ID_LENGTH &&\n` },
  {
    check: 'kid has no control characters',
    text: ` &&\n    !CONTROL_CHARACTER.test(kid)`,
  },
]);

const CLAIMS = inFile('lib/core/claims.ts', [
  {
    check: 'iss is there',
    text: `readName(payload, 'iss') ?? refuse('claim_missing', 'iss')`,
    instead: `readName(payload, 'iss') ?? ''`,
  },
  {
    check: 'every claim the profile requires',
    text: `  if (missing !== undefined) refuse('claim_missing', missing);\n`,
  },
  {
    check: 'bdy is a digest the profile accepts',
    text: "    refuse('claim_invalid', `bdy is ${claims.body.algorithm}, which the profile does not accept`);\n",
  },
  {
    check: 'iss, aud, sub, jti, req, bdy are strings',
    text: "return typeof value === 'string' ? value : refuse('claim_invalid', `${name} is not a string`);",
    instead: 'return value as string;',
  },
  {
    check: 'iss and aud are not empty',
    text: "return value === '' ? refuse('claim_invalid', `${name} is empty`) : value;",
    instead: 'return value;',
  },
  {
    check: 'sub can be the URI of a user',
    text: "return flaw === undefined ? subject : refuse('claim_invalid', `sub is ${flaw}`);",
    instead: 'return subject;',
  },
  {
    check: 'jti and req have the form of theirs',
    text: "  return refuse('claim_invalid', `${name} has the wrong form`);",
    instead: '  return value;',
  },
  {
    check: 'req has at most 4096 characters',
    text: `    refuse('claim_invalid', 'req is too long');\n`,
  },
  {
    check: 'times are finite numbers',
    text: "    refuse('claim_invalid', `${name} is not a finite number`);\n",
  },
  {
    check: 'bdy has the form of a digest',
    text: `bodyHashAlgorithmOf(digest) ?? refuse('claim_invalid', 'bdy is not a digest')`,
    instead: `bodyHashAlgorithmOf(digest) ?? 'sha256'`,
  },
  {
    check: 'hdr is an object',
    text: `  if (!isObject(hdr)) refuse('claim_invalid', 'hdr is not an object');\n`,
  },
  {
    check: 'hdr has at most 32 members',
    text: `  if (entries.length > MAX_BOUND_HEADERS) refuse('claim_invalid', 'hdr has too many members');\n`,
  },
  {
    check: 'hdr names headers in lower case',
    text: `    if (!HEADER_NAME.test(name))\n      refuse('claim_invalid', 'hdr has a name that is no lower-case header');\n`,
  },
  {
    check: 'hdr holds strings',
    text: `    if (typeof value !== 'string') refuse('claim_invalid', 'hdr has a value that is not a string');\n`,
  },
]);

const SUBJECT = inFile('lib/core/subject.ts', [
  {
    check: 'sub has at most 1024 characters',
    text: '  if (subject.length > MAX_SUBJECT_LENGTH) return `longer than ${MAX_SUBJECT_LENGTH} characters`;\n',
  },
  {
    check: 'sub has no control, format or space characters',
    text: `  if (UNSAFE_CHARACTER.test(subject)) return 'with a control or space character';\n`,
  },
  {
    check: 'sub is absolute',
    text: `  if (!ABSOLUTE_URI.test(subject)) return 'not an absolute URI';\n`,
  },
  {
    check: 'sub has no scheme that runs or reads',
    text: `  if (REFUSED_SCHEME.test(subject)) return 'with a scheme that is refused';\n`,
  },
  {
    check: 'sub has no credentials',
    text: `  if (USERINFO.test(subject)) return 'with credentials';\n`,
  },
  {
    check: 'a sub of the web names a host',
    text: `  if (WEB_URI.test(subject) && !/^https?:\\/\\/[^/]/i.test(subject)) return 'not an absolute URI';\n`,
  },
  {
    check: 'a sub of the web is a URL',
    text: `  if (WEB_URI.test(subject) && !URL.canParse(subject)) return 'not an absolute URI';\n`,
    spec: NEIGHBOURS,
    tests: 'CL-15',
  },
  {
    check: 'no dot segments under a prefix',
    text: '!DOT_SEGMENT.test(subject) && ',
  },
]);

const TIMES = inFile('lib/core/token-times.ts', [
  {
    check: 'exp is not over',
    text: `  if (exp !== undefined && exp + tolerance <= now) refuse('token_expired', apart('exp', exp, now));\n`,
  },
  {
    check: 'iat is not ahead',
    text: `    refuse('token_not_yet_valid', apart('iat', iat, now));\n`,
  },
  {
    check: 'exp is after iat',
    text: `    if (iat !== undefined && exp <= iat) refuse('claim_invalid', 'exp is not after iat');\n`,
  },
  {
    check: 'exp is not before nbf',
    text: `    if (nbf !== undefined && exp < nbf) refuse('claim_invalid', 'exp is before nbf');\n`,
  },
  {
    check: 'iat is no longer ago than a token may live',
    text: `    refuse('token_expired', 'issued longer ago than a token may live');\n`,
  },
  {
    check: 'a token does not live too long',
    text: `  if (exp !== undefined && iat !== undefined && exp - iat > longest) refuse('lifetime_too_long');\n`,
  },
  {
    check: 'nbf is not ahead',
    text: `    refuse('token_not_yet_valid', apart('nbf', nbf, now));\n`,
  },
]);

const SIGNATURE = inFile('lib/core/token-signature.ts', [
  {
    check: 'the signature is that of the key',
    text: `  if (isGood !== true) refuse('signature_invalid');\n`,
  },
  {
    check: 'a signature that is verified at once is that of the key',
    text: `return assertGood(verify(digest, signed, options, signature));`,
    instead: 'return void verify(digest, signed, options, signature);',
  },
  {
    check: 'a signature that another thread verifies is that of the key',
    text: `resolve(assertGood(isGood));`,
    instead: 'resolve();',
  },
]);

const DECISION = inFile('lib/core/verify-request.ts', [
  {
    check: 'the header is that of the profile',
    text: `  assertHeaderProfile(header, token.unverifiedHeader, rules);\n`,
  },
  {
    check: 'the claims are those of the profile',
    text: `  assertClaimsProfile(claims, token.unverifiedPayload, rules);\n`,
  },
  {
    check: 'the signature is verified',
    text: `assertSignature(token, header.algorithm, key.key, verificationLoad);`,
    instead: 'undefined;',
  },
  {
    check: 'the times are asserted',
    text: `  assertTimes(claims, trusted.profile, settings, now());\n  const audience`,
    instead: '  const audience',
  },
  {
    check: 'the request is bound',
    text: 'const binding = assertBinding(request, claims, trusted, settings);',
    instead: 'const binding = undefined;',
  },
  {
    check: 'the times are asserted again after a slow body',
    text: `    assertTimes(claims, trusted.profile, settings, now());\n  }`,
    instead: '  }',
    spec: NEIGHBOURS,
    tests: 'TM-17',
  },
  { check: 'the policy is asserted', text: `  assertPolicy(claims, trusted, policy);\n` },
  {
    check: 'the first use is asserted',
    text: `const recording = assertFirstUse(claims, trusted, settings, now());`,
    instead: 'const recording = undefined;',
    spec: HTTP,
    tests: 'RP-',
  },
  {
    check: 'the issuer is trusted',
    text: `refuse('issuer_unknown')`,
    instead: `[...settings.trustedIssuers.known()][0]!`,
  },
  {
    check: 'the key is one of the issuer',
    text: `?? refuse('key_unknown')`,
    instead: `?? (await trusted.keys.find(undefined))!`,
  },
  {
    check: 'alg is the algorithm of the key',
    text: `refuse('algorithm_refused', 'alg is not the algorithm of the key')`,
    instead: 'void 0',
  },
  {
    check: 'aud is this service',
    text: `  if (audience === undefined || !settings.audiences.has(audience)) refuse('audience_mismatch');\n`,
  },
  {
    check: 'req is the request',
    text: `    if (claims.requestLine !== binding.req) refuse('request_mismatch');\n`,
  },
  {
    check: 'the headers are asserted',
    text: `    assertHeaders(bound, binding.hdr, bindable, required);\n`,
  },
  {
    check: 'the body is asserted',
    text: `return assertBody(bindable, claims.body, binding);`,
    instead: 'return undefined;',
  },
  {
    check: 'a bound header has the value it had',
    text: "    if (received[name] !== value) refuse('header_mismatch', `${name} differs`);\n",
  },
  {
    check: 'a header that must be bound is bound',
    text: "      refuse('header_mismatch', `${name} is not bound`);\n",
  },
  {
    check: 'content without bdy is refused',
    text: `    if (request.body.hasContent) refuse('claim_missing', 'bdy');\n`,
  },
  {
    check: 'a request is bound that was not sure to have content',
    text: `return settling === undefined ? assertSettled() : Promise.resolve(settling).then(assertSettled);`,
    instead: 'return settling === undefined ? assertSettled() : Promise.resolve(settling);',
    spec: NEIGHBOURS,
    tests: 'RB-05',
  },
  {
    check: 'a digest that is there is compared',
    text: '? assertDigest(digest)',
    instead: '? undefined',
  },
  {
    check: 'a digest that is waited for is compared',
    text: ': Promise.resolve(digest).then(assertDigest)',
    instead: ': Promise.resolve(digest).then(() => undefined)',
    spec: HTTP,
    tests: 'BB-|BD-|bdy',
  },
  {
    check: 'bdy is the digest of the content',
    text: `    if (digest !== claim.digest) refuse('body_mismatch');\n`,
  },
  {
    check: 'what the route asks is asserted',
    text: `  assertRoutePolicy({ issuer: trusted.issuer, subject }, policy);\n`,
  },
  {
    check: 'the issuer may speak for the subject',
    text: `    refuse('subject_not_allowed');\n`,
  },
  {
    check: 'the issuer may call the route',
    text: `    if (!allowed.has(caller.issuer)) refuse('issuer_not_allowed');\n`,
  },
  {
    check: 'the route gets the subject it needs',
    text: `  if (policy.subjectRequired && caller.subject === undefined) refuse('subject_missing');\n`,
  },
  {
    check: 'the verdict of a store is heard',
    text: ': assertFirst(verdict);',
    instead: ': undefined;',
    spec: HTTP,
    tests: 'RP-',
  },
  {
    check: 'the verdict of a store that takes its time is heard',
    text: 'Promise.resolve(verdict).then(assertFirst)',
    instead: 'Promise.resolve(verdict).then(() => undefined)',
    spec: HTTP,
    tests: 'RP-17',
  },
  {
    check: 'a used token is refused',
    text: `  if (verdict === 'seen') refuse('token_replayed');\n`,
    spec: HTTP,
    tests: 'RP-',
  },
  {
    check: 'a store that gives no verdict refuses',
    text: `  if (verdict !== 'first') {\n    throw new`,
    instead: '  if (false) {\n    throw new',
    spec: HTTP,
    tests: 'RP-17',
  },
  {
    check: 'a store that fails refuses',
    text: `  throw new ServiceAuthUnavailableError('replay_store_unavailable', { cause });\n`,
    instead: `  return 'first' as never;\n`,
    spec: HTTP,
    tests: 'RP-17',
  },
  {
    check: 'a store that says it is unavailable refuses',
    text: `  if (cause instanceof ServiceAuthUnavailableError) throw cause;\n`,
    instead: `  if (cause instanceof ServiceAuthUnavailableError) return 'first' as never;\n`,
    spec: HTTP,
    tests: 'RP-12',
  },
  {
    check: 'a use is remembered until the tolerance is over',
    text: 'expiresAtSeconds + settings.clockToleranceSeconds',
    instead: 'expiresAtSeconds',
    spec: NEIGHBOURS,
    tests: 'RP-08',
  },
]);

const STORES = inFile('lib/replay/memory-replay-store.ts', [
  {
    check: 'a use that lives is seen',
    text: 'place.isLive || ',
    spec: STORE,
  },
  {
    check: 'what could have been forgotten is seen',
    text: ' || use.forgetAtSeconds <= this.forgottenUntilSeconds',
    spec: STORE,
  },
  {
    check: 'a full store refuses',
    text: 'if (this.live >= this.maxEntries) {\n      throw',
    instead: 'if (false) {\n      throw',
    spec: STORE,
  },
  {
    check: 'where asked, what was issued before the start is taken for used',
    text: `    if (this.refusesIssuedBeforeStart && this.mayBeIssuedBeforeStart(use)) return 'seen';\n`,
    spec: 'test/nest/shared-replay-store.spec.ts',
    tests: 'RP-13|PF-03',
  },
]);

const USES = inFile('lib/replay/token-use-digest.ts', [
  {
    check: 'uses are kept by issuer',
    text: 'JSON.stringify([issuer, tokenId])',
    instead: 'JSON.stringify([tokenId])',
    spec: SEQUENCES,
    tests: 'RP-04',
  },
]);

const REDIS = inFile('lib/replay/redis-replay-store.ts', [
  {
    check: 'a clock put back brings no forgotten token back',
    text: `    if (use.forgetAtSeconds <= this.latestNowSeconds) return 'seen';\n`,
    spec: 'test/replay/redis-replay-store.spec.ts',
    tests: 'TM-18',
  },
  {
    check: 'a client that is not connected is not asked',
    text: '    if (!connection.isReady()) throw new Error(`Redis is not connected${this.because()}`);\n',
    spec: 'test/replay/redis-outages.spec.ts',
  },
  {
    check: 'commands do not pile up',
    text: '      throw new Error(`${MAX_UNANSWERED} commands are waiting for Redis`);\n',
    spec: 'test/replay/redis-outages.spec.ts',
  },
  {
    check: 'an answer over another connection is none',
    text: `    if (asked !== this.connections) throw new Error('the connection to Redis was lost meanwhile');\n`,
    spec: 'test/replay/redis-outages.spec.ts',
  },
  {
    check: 'a token that Redis knows is refused',
    text: `    if (answer === null) return 'seen';\n`,
    instead: `    if (answer === null) return 'first';\n`,
    spec: 'test/nest/shared-replay-store.spec.ts',
    tests: 'RP-03',
  },
  {
    check: 'any other answer is none',
    text: `    throw new Error('Redis answered neither OK nor nil');\n`,
    instead: `    return 'first';\n`,
    spec: 'test/replay/redis-refusals.spec.ts',
  },
  {
    check: 'what Redis cannot tell is refused',
    text: `      throw new ServiceAuthUnavailableError('replay_store_unavailable', {
        detail: messageOf(cause),
        cause,
      });\n`,
    instead: `      return 'first';\n`,
    spec: 'test/nest/shared-replay-store.spec.ts',
    tests: 'RF-0',
  },
]);

const LARGE = 'test/nest/large-bodies.spec.ts';
const BODIES = [
  ...inFile('lib/nest/transports/http-body.ts', [
    {
      check: 'bytes held in memory are within the limit',
      text: `      if (!this.raw.readableDidRead) assertWithin(limits, this.raw.readableLength);\n`,
      spec: 'test/nest/bodies-streams.spec.ts',
    },
    {
      check: 'a body others have read is not verified',
      text: `    this.watch.assertUnread();\n`,
      spec: 'test/nest/bodies-streams.spec.ts',
    },
  ]),
  ...inFile('lib/nest/transports/body-drain.ts', [
    {
      check: 'an announced length is within the limit',
      text: `    assertWithin(limits, announcedBytes(watch.raw));\n`,
      spec: LARGE,
    },
    {
      check: 'what arrives is within the limit',
      text: `    assertWithin(this.limits, this.size);\n`,
      spec: LARGE,
    },
  ]),
];

const AT_THE_DOOR = [
  ...inFile('lib/service-auth.ts', [
    {
      check: 'what observers are told of is thrown on',
      text: `      if (progress) tell(observer, progress.failure(error));\n      throw error;\n`,
      instead: `      if (progress) tell(observer, progress.failure(error));\n      return undefined as never;\n`,
      spec: GUARD,
    },
    {
      check: 'a verified caller is admitted by the application before the request is served',
      text: `      const admitting = options.admit?.(identity);\n      if (isPending(admitting)) await admitting;\n`,
      spec: GUARD,
    },
    {
      check: 'an admission that takes time is waited for',
      text: `      if (isPending(admitting)) await admitting;\n`,
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/service-jwt.guard.ts', [
    {
      check: 'the guard authenticates',
      text: `    await this.authenticator.authenticate(transport, context, route);\n`,
      spec: GUARD,
    },
    {
      check: 'contexts it does not know are refused first',
      text: `    const transport = transportOf(context) ?? (await this.authenticator.refuseContext(context));\n    const route = routeOf(context);\n    if (route.mode === 'skip') return true;\n`,
      instead: `    const route = routeOf(context);\n    if (route.mode === 'skip') return true;\n    const transport = transportOf(context) ?? (await this.authenticator.refuseContext(context));\n`,
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/transports/transport.ts', [
    {
      check: 'no context but HTTP',
      text: 'TRANSPORTS.get(context.getType())',
      instead: 'TRANSPORTS.get(context.getType()) ?? httpTransport',
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/transports/unsupported.transport.ts', [
    {
      check: 'a message is refused',
      text: `    throw new RpcException({ status: 'error', code, message });\n`,
      instead: '    return undefined as never;\n',
      spec: 'test/nest/unsupported-contexts.spec.ts',
      tests: 'TF-01',
    },
    {
      check: 'a message on a web socket is refused',
      text: `    throw new WsException({ status: 'error', code, message });\n`,
      instead: '    return undefined as never;\n',
      spec: 'test/nest/unsupported-contexts.spec.ts',
      tests: 'TF-04',
    },
    {
      check: 'any other context is refused',
      text: `  throw toHttpException(refusal);`,
      instead: '  return undefined as never;',
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/route-policy.ts', [
    {
      check: 'requirements win over what opens a route',
      text: `requires ? 'required' : mode`,
      instead: 'mode',
      spec: GUARD,
    },
    {
      check: 'requirements of the controller count',
      text: 'places.flatMap(allowedIssuersOf)',
      instead: 'allowedIssuersOf(handler)',
      spec: GUARD,
    },
    {
      check: '@RequireSubject() on the controller counts',
      text: 'places.some(',
      instead: '[handler].some(',
      spec: GUARD,
    },
    {
      check: 'a route without any decorator is guarded',
      text: `const [mode = 'required'] =`,
      instead: `const [mode = 'optional'] =`,
      spec: GUARD,
    },
    {
      check: '@AllowIssuers() reaches the policy',
      text: 'policy: { allowedIssuers, ',
      instead: 'policy: { ',
      spec: GUARD,
    },
    {
      check: '@RequireSubject() reaches the policy',
      text: ', subjectRequired },',
      instead: ' },',
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/allow-issuers.decorator.ts', [
    {
      check: '@AllowIssuers() names somebody',
      text: `  if (issuers.length === 0) {\n    throw`,
      instead: '  if (false) {\n    throw',
      spec: GUARD,
    },
    {
      check: 'lists add up',
      text: '[...lists, new Set(issuers)]',
      instead: '[new Set(issuers)]',
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/request-authenticator.ts', [
    {
      check: 'one application does not take the word of another',
      text: ' || state.verifier !== this',
      spec: GUARD,
    },
    {
      check: 'each route asserts what it asks',
      text: `    this.assertRoute(exchange, identity, route);\n`,
      spec: GUARD,
    },
    {
      check: 'a second route asserts its policy',
      text: 'if (identity) assertRoutePolicy(identity, route.policy);',
      instead: 'if (identity) return;',
      spec: GUARD,
    },
    {
      check: 'a second route does not take an anonymous caller',
      text: `throw new ServiceTokenRefusedError('token_missing')`,
      instead: 'return',
      spec: GUARD,
    },
    {
      check: 'only a caller without a token is anonymous',
      text: ' && !exchange.hasToken',
      spec: HTTP,
      tests: 'AI-14',
    },
    {
      check: 'a refusal by a second route is not swallowed',
      text: `      throw exchange.refuse(error);\n`,
      spec: GUARD,
    },
    {
      check: 'a refusal is not swallowed',
      text: `      throw isRefusal(error) ? exchange.refuse(error) : error;\n`,
      instead: `      if (!isRefusal(error)) throw error;\n      return undefined;\n`,
      spec: GUARD,
    },
    {
      check: 'an unknown error is not swallowed',
      text: `      throw isRefusal(error) ? exchange.refuse(error) : error;\n`,
      instead: `      if (!isRefusal(error)) return undefined;\n      throw exchange.refuse(error);\n`,
      spec: GUARD,
    },
    {
      check: 'the token is taken out of the request',
      text: `      if (this.options.tokenAfterVerification !== 'keep') exchange.removeToken();\n`,
      spec: GUARD,
    },
    {
      check: 'a user nobody knows is refused',
      text: `    if (user === null || user === undefined) throw new ServiceTokenRefusedError('subject_unknown');\n`,
      spec: GUARD,
    },
    {
      check: 'request.user is not taken over from others',
      text: `    if (this.userResolver) return this.admitUser(`,
      instead: `    if (false) return this.admitUser(`,
      spec: GUARD,
    },
    {
      check: 'an anonymous caller has no user',
      text: `      if (this.userResolver) exchange.setUser(undefined);\n`,
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/service-subject.decorator.ts', [
    {
      check: '@ServiceSubject() has a subject',
      text: `    throw toHttpException(new ServiceTokenRefusedError('subject_missing'));\n`,
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/service-caller.decorator.ts', [
    {
      check: 'nothing is injected that nobody verified',
      text: 'if (state?.verification === undefined) {\n    throw',
      instead:
        'if (state?.verification === undefined) return;\n  if (state === undefined) {\n    throw',
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/transports/http.transport.ts', [
    {
      check: 'an empty header beside another is no anonymous caller',
      text: ' || tokens.length > 1',
      spec: HTTP,
      tests: 'AI-14',
    },
    {
      check: 'the header leaves headers',
      text: `    delete headers[TOKEN_HEADER];\n`,
      spec: GUARD,
    },
    {
      check: 'the header leaves rawHeaders',
      text: `      if (isNamed(rawHeaders[at], TOKEN_HEADER)) rawHeaders[at + 1] = '';\n`,
      spec: GUARD,
    },
    {
      check: 'caches are told of the token',
      text: `    this.setHeader('Vary', appendToken(this.response.getHeader('Vary')));\n`,
      spec: HTTP,
      tests: 'TS-01|TF-17',
    },
    {
      check: 'answers are private',
      text: `    if (!isPrivate) this.setHeader('Cache-Control', 'private');\n`,
      spec: HTTP,
      tests: 'TS-01|TF-17',
    },
    {
      check: '401 carries a challenge',
      text: '      this.setHeader(\'WWW-Authenticate\', `JWT realm="${this.settings.realm}"${reason}`);\n',
      spec: HTTP,
      tests: 'TS-01|TF-17',
    },
    {
      check: '503 says when to try again',
      text: `      this.setHeader('Retry-After', String(Math.ceil(error.retryAfterSeconds)));\n`,
      spec: HTTP,
      tests: 'RP-17',
    },
    {
      check: 'the whole target is bound, as on the wire',
      text: `this.frameworkRequest.originalUrl ?? raw.url ?? ''`,
      instead: `(this.frameworkRequest.originalUrl ?? raw.url ?? '').split('?')[0] ?? ''`,
      spec: HTTP,
      tests: 'RB-',
    },
    {
      check: 'the body is that of the wire',
      text: 'bodyOf(raw, rawRequestOf(this.response) as ServerResponse, settings.bodyLimits)',
      instead: 'new Uint8Array()',
      spec: HTTP,
      tests: 'BB-',
    },
  ]),
];

/** @type {readonly Removal[]} */
export const REMOVALS = [
  ...SYNTAX,
  ...JSON_TEXT,
  ...HEADER,
  ...CLAIMS,
  ...SUBJECT,
  ...TIMES,
  ...SIGNATURE,
  ...DECISION,
  ...STORES,
  ...USES,
  ...REDIS,
  ...BODIES,
  ...AT_THE_DOOR,
].map((removal) => ({ spec: CORE, ...removal }));

/**
 * Lines that look like checks and need no entry of their own: file, text, reason.
 *
 * @type {readonly [file: string, text: string, reason: string][]}
 */
export const EXEMPT = [
  [
    'lib/replay/memory-replay-store.ts',
    'throw new RangeError(`there is no table',
    'cannot be: the index is taken modulo the number of tables',
  ],
  [
    'lib/core/verify-request.ts',
    'const assertSettled = ',
    'says what is called two lines on, which an entry takes out',
  ],
  [
    'lib/replay/memory-replay-store.ts',
    `throw new ServiceAuthConfigError(['maxEntries`,
    'about configuration, not about a request',
  ],
  [
    'lib/replay/memory-replay-store.ts',
    'throw new ServiceAuthConfigError(["issuedBeforeStart',
    'about configuration, not about a request',
  ],
  ['lib/replay/memory-replay-store.ts', `return 'first';`, 'lets in, refuses nothing'],
  ['lib/replay/redis-replay-store.ts', `return 'first';`, 'lets in, refuses nothing'],
  ['lib/replay/redis-replay-store.ts', `return 'the client failed'`, 'words for the log'],
  ['lib/replay/redis-replay-store.ts', 'assertConnected', 'about the start, not about a request'],
  [
    'lib/replay/redis-replay-store.ts',
    `throw new ServiceAuthUnavailableError('replay_store_unavailable', {`,
    'the one of the start; that of a request has an entry',
  ],
  [
    'lib/replay/redis-replay-store.ts',
    'throw new Error(`fewer than ${count}',
    'of an option that is off unless given; tested with RF-05',
  ],
];
