// The checks of the verify path, and of for whom calls are made, each as the edit that takes it out: read by scripts/test-removed-checks.mjs.

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
const MEMORY_LEASES = 'test/replay/memory-reservations.spec.ts';
const REDIS_LEASES = 'test/replay/redis-reservations.spec.ts';
const HTTP = 'test/nest/refusals.spec.ts';
const SEQUENCES = 'test/nest/attack-sequences.spec.ts';
const GUARD = 'test/nest/guard-checks.spec.ts';
const SHAPES = 'test/core/request-shape.spec.ts';
const ANSWERS = 'test/core/answer.spec.ts';
const HEADER_LISTS = 'test/nest/header-lists.spec.ts';
const WRAPPED = 'test/nest/wrapped-methods.spec.ts';
const WHOM = 'test/for-whom/checks.spec.ts';
const OBSERVABLES = 'test/for-whom/observables.spec.ts';
const REPORT = 'test/nest/report-only.spec.ts';
const PROOFS = 'test/core/grants/proofs.spec.ts';
const ISSUED = 'test/core/grants/issue-grant.spec.ts';
const GRANT_CACHE = 'test/core/grants/grant-cache.spec.ts';
const GRANT_OPTIONS = 'test/core/grants/options.spec.ts';
const NEST_GRANTS = 'test/nest/grants.spec.ts';
const ORIGINATE = 'test/for-whom/originate.spec.ts';
const CALL_CONTEXT = 'test/for-whom/call-context.spec.ts';
const RESOLVERS = 'test/nest/resolvers.spec.ts';
const MOUNTED = 'test/nest/mounted.spec.ts';
const HANDSHAKES = 'test/nest/handshakes.spec.ts';
const MESSAGES = 'test/core/messages/message-checks.spec.ts';
const DELIVERIES = 'test/nest/messages/delivery-checks.spec.ts';
const CLIENTS = 'test/nest/messages/message-clients.spec.ts';
const REFUSED_MESSAGES = 'test/nest/messages/refused-messages.spec.ts';
const DRIVERS = 'tools/graphql/test/policies.spec.ts';
const REACHED = 'tools/graphql/test/reached.spec.ts';
const CONTEXTS = 'tools/graphql/test/contexts.spec.ts';

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
    text: `    throw new JsonFlaw('members', 'duplicate member');\n`,
  },
  {
    check: 'an object without a prototype',
    text: `Object.setPrototypeOf(value, null) as UnverifiedObject`,
    instead: 'value',
    spec: HTTP,
    tests: 'CL-21',
  },
  {
    check: 'UTF-8 is well formed',
    text: `  if (!isUtf8(view)) throw new JsonFlaw('text', 'not UTF-8');\n`,
  },
  {
    check: 'no more values than are worth parsing',
    text: "  if (values > maxValues) throw new JsonFlaw('members', `more than ${maxValues} values`);\n",
  },
  {
    check: 'header and payload are JSON',
    text: `throw new JsonFlaw('text', 'not JSON in UTF-8');`,
    instead: 'return {};',
  },
  {
    check: 'member names are looked at',
    text: `  for (const name of names) assertName(name, hasEscapes);\n`,
  },
  {
    check: 'no nesting deeper than 16',
    text: "  if (depth > MAX_DEPTH) throw new JsonFlaw('members', `nested deeper than ${MAX_DEPTH}`);\n",
    spec: NEIGHBOURS,
    tests: 'TS-31',
  },
  {
    check: 'no __proto__, no constructor',
    text: `  if (FORBIDDEN_NAMES.has(name)) throw new JsonFlaw('members', 'member with a forbidden name');\n`,
  },
  {
    check: 'no lone surrogate in a value',
    text: 'assertWellFormed(value);',
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
    text: '!mayHaveDotSegment(subject) && ',
  },
  {
    check: 'no dot segments in lax or overlong escapes',
    text: 'LAX_ESCAPE.test(text) || ',
  },
  {
    check: 'no dot segments in escapes',
    text: 'text.replace(ESCAPES, decode)',
    instead: 'text',
  },
  {
    check: 'no dot segments in escapes that are no UTF-8',
    text: `return Buffer.from(escapes.replaceAll('%', ''), 'hex').toString('utf8');`,
    instead: 'try { return decodeURIComponent(escapes); } catch { return escapes; }',
  },
  {
    check: 'no dot segments escaped more often than anybody does',
    text: '    text = decoded;\n  }\n  return true;',
    instead: '    text = decoded;\n  }\n  return false;',
  },
  {
    check: 'no dot segments in compatibility forms',
    text: `.normalize('NFKC')`,
  },
  {
    check: 'no dot segments of ideographic full stops',
    text: `.replace(OTHER_DOTS, '.')`,
  },
  {
    check: 'no dot segments between other slashes',
    text: `.replace(OTHER_SLASHES, '/')`,
  },
  {
    check: 'no dot segments with path parameters',
    text: 'segment.split(/[;?#]/)',
    instead: 'segment.split(/[?#]/)',
  },
  {
    check: 'no dot segments with invisible characters',
    text: `name.replace(INVISIBLE, '')`,
    instead: 'name',
  },
]);

const TIMES = inFile('lib/core/token-times.ts', [
  {
    check: 'exp is not over',
    text: `  if (exp !== undefined && exp + tolerance <= now) refuse('token_expired', ago(exp, now));\n`,
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
    text: `    refuse('lifetime_too_long', \`\${exp - iat} s, where at most \${longest} s are accepted\`);\n`,
  },
  {
    check: 'the use of a token without iat need not be remembered for longer than a token may live',
    text: `    if (exp - tolerance > now + longest) refuse('lifetime_too_long', apart('exp', exp, now));\n`,
  },
  {
    check: 'nbf is not ahead',
    text: `    refuse('token_not_yet_valid', apart('nbf', nbf, now));\n`,
  },
]);

const SIGNATURE = inFile('lib/core/token-signature.ts', [
  {
    check: 'the signature is verified',
    text: `  await assertSignature(token, check);\n`,
  },
  {
    check: 'the signature is that of the key',
    text: `  if (isGood !== true) refuse('signature_invalid', keyId && describeNamedKey(keyId));\n`,
  },
  {
    check: 'a signature that is verified at once is that of the key',
    text: `return assertGood(verify(digest, signed, options, signature), keyId);`,
    instead: 'return void verify(digest, signed, options, signature);',
  },
  {
    check: 'a signature that another thread verifies is that of the key',
    text: `resolve(assertGood(isGood, keyId));`,
    instead: 'resolve();',
  },
]);

const SHAPE = inFile('lib/core/request-shape.ts', [
  {
    check: 'a request to verify is an object',
    text: `  if (!isObject(request)) fail('the request', 'an object', request);\n  const { method, target, rawHeaders,`,
    instead: '  const { method, target, rawHeaders,',
    tests: 'RB-61',
  },
  {
    check: 'the method of a request to verify is a string',
    text: "  if (!isString(method)) fail('`method`', 'a string', method);\n  if (!isString(target))",
    instead: '  if (!isString(target))',
    tests: 'RB-61',
  },
  {
    check: 'the target is a string',
    text: "  if (!isString(target)) fail('`target`', 'a string', target);\n",
    tests: 'RB-61',
  },
  {
    check: 'rawHeaders is an array',
    text: "  if (!Array.isArray(rawHeaders)) fail('`rawHeaders`', 'an array', rawHeaders);\n",
    tests: 'RB-61',
  },
  {
    check: 'rawHeaders holds strings',
    text: "    if (!isString(text)) fail('each item of `rawHeaders`', 'a string', text);\n",
    tests: 'RB-61',
  },
  {
    check: 'the limit of header lines is a number',
    text: "    fail('`maxHeadersCount`', 'a whole number from 0', maxHeadersCount);\n",
    tests: 'RB-61',
  },
  {
    check: 'rawHeaders holds pairs',
    text: '  if (rawHeaders.length % 2 === 0) return;',
    instead: '  if (rawHeaders.length >= 0) return;',
    tests: 'RB-61',
  },
  {
    check: 'a body is bytes or a body object',
    text: "  if (!isBody) fail('`body`', 'a Uint8Array, such as a Buffer, or a RequestBody', body);\n",
    tests: 'BB-6',
  },
  {
    check: 'bytes are a Uint8Array',
    text: 'if (types.isUint8Array(body)) return bodyOfBytes(body);',
    instead: 'if (ArrayBuffer.isView(body)) return bodyOfBytes(body);',
    tests: 'BB-61',
  },
  {
    check: 'settle of a body object is a function',
    text: "  if (!canSettle) fail('`body.settle`', 'a function or undefined', settle);\n",
    tests: 'BB-62',
  },
  {
    check: 'an empty body has not lost its bytes',
    text: '  if (bytes.byteLength === 0) assertNothingLost(bytes);\n',
    tests: 'BB-61',
  },
  {
    check: 'hasContent of a body object is a boolean before anything else is looked at',
    text: '  assertHasContent(body.hasContent);\n',
    tests: 'BB-62',
  },
  {
    check: 'hasContent of a body object is a boolean once it has settled',
    text: '    assertHasContent(hasContent);\n',
    tests: 'BB-62',
  },
  {
    check: 'hasContent of a body object is a boolean',
    text: "  if (typeof hasContent !== 'boolean') fail('`body.hasContent`', 'a boolean', hasContent);\n",
    tests: 'BB-62',
  },
  {
    check: 'a digest that a body object answers has the form of one',
    text: 'readDigest(await this.given.digest(algorithm), algorithm)',
    instead: 'await this.given.digest(algorithm)',
    tests: 'BB-62',
  },
  {
    check: 'a request to sign is an object',
    text: `  if (!isObject(request)) fail('the request', 'an object', request);\n  const { method, headers,`,
    instead: '  const { method, headers,',
    tests: 'OS-61',
  },
  {
    check: 'the method of a request to sign is a string',
    text: "  if (!isString(method)) fail('`method`', 'a string', method);\n  // Headers, Map",
    instead: '  // Headers, Map',
    tests: 'OS-61',
  },
  {
    check: 'the URL of a request to sign is one',
    text: "  if (!isString(url) && !(url instanceof URL)) fail('`url`', 'a string or URL', url);\n",
    tests: 'OS-61',
  },
  {
    check: 'the headers of a request to sign are a record',
    text: "  if (!isRecord) fail('`headers`', 'a record of names and values', headers);\n",
    tests: 'OS-61',
  },
  {
    check: 'the headers of a request to sign have text',
    text: "    if (!isText) fail('each value of `headers`', 'a string or an array of strings', value);\n",
    tests: 'OS-61',
  },
  {
    check: 'the user of a request to sign is text',
    text: "  if (!isSubject) fail('`subject`', 'a string or undefined', subject);\n",
    tests: 'OS-61',
  },
]).map((removal) => ({ spec: SHAPES, ...removal }));

const ANSWER = inFile('lib/core/answer.ts', [
  {
    check: 'nothing but a refusal is answered as one',
    text: 'if (!isRefusal(error)) return undefined;',
    instead: 'if (!(error instanceof Error)) return undefined;',
    spec: ANSWERS,
    tests: 'TF-61',
  },
  {
    check: 'a refusal is no success',
    text: 'status >= 400 && status <= 599 ? status : REFUSALS[code].status',
    instead: 'status',
    spec: ANSWERS,
    tests: 'TF-61',
  },
  {
    check: '401 carries a challenge',
    text: `  if (error.status === 401) headers['WWW-Authenticate'] = challengeOf(error, options);\n`,
    spec: HTTP,
    tests: 'TS-01|TF-17',
  },
  {
    check: '503 says when to try again',
    text: `    headers['Retry-After'] = String(Math.ceil(error.retryAfterSeconds));\n`,
    spec: HTTP,
    tests: 'RP-17',
  },
]);

const STEPS = inFile('lib/core/verification-steps.ts', [
  {
    check: 'the issuer is trusted',
    text: `refuse('issuer_unknown', describeNearMiss(unverifiedIssuer, trustedIssuers))`,
    instead: `[...trustedIssuers.known()][0]!`,
  },
  {
    check: 'alg is the algorithm of the key',
    text: `    refuse('algorithm_refused', 'alg is not the algorithm of the key');\n`,
  },
  {
    check: 'aud is this service',
    text: `return refuse('audience_mismatch', describeAudience(audience, audiences));`,
    instead: `return audience ?? '';`,
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
    check: 'a store that fails later refuses',
    text: 'return await replayStore.recordUse',
    instead: 'return replayStore.recordUse',
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
    text: 'expiresAtSeconds + clockToleranceSeconds',
    instead: 'expiresAtSeconds',
    spec: NEIGHBOURS,
    tests: 'RP-08',
  },
]);

const DECISION = inFile('lib/core/verify-request.ts', [
  {
    check: 'the request has the members it needs',
    text: '  assertIncomingRequest(request);\n',
    spec: SHAPES,
    tests: 'RB-61',
  },
  {
    check: 'a header list that the server may have cut off is refused',
    text: `  assertWholeHeaderList(request);\n`,
    spec: HEADER_LISTS,
    tests: 'HL-01',
  },
  {
    check: 'the header is that of the profile',
    text: `  assertHeaderProfile(header, token.unverifiedHeader, rules);\n`,
  },
  {
    check: 'the claims are those of the profile',
    text: `  assertClaimsProfile(unverified, rules);\n`,
  },
  {
    check: 'the times are asserted',
    text: `  assertTimes(claims, limits, now());\n  const audience`,
    instead: '  const audience',
    spec: NEIGHBOURS,
    tests: 'TM-01',
  },
  {
    check: 'the request is bound',
    text: `const binding = bindAsClaimed(bindable, claims, { rules, refusalDetails });`,
    instead: 'const binding = bindRequest(bindable, []);',
  },
  {
    check: 'the times are asserted again after a slow body',
    text: `  assertTimes(claims, limits, now());\n  assertPolicy`,
    instead: '  assertPolicy',
    spec: NEIGHBOURS,
    tests: 'TM-17',
  },
  { check: 'the policy is asserted', text: `  assertPolicy(claims, trusted, policy);\n` },
  {
    check: 'the first use is asserted',
    text: `  if (use) assertFirst(await recordUse(enforcement === 'report' ? apart(use) : use, settings));\n`,
    spec: HTTP,
    tests: 'RP-',
  },
  {
    check: 'what reports records uses apart',
    text: `enforcement === 'report' ? apart(use) : use`,
    instead: 'use',
    spec: REPORT,
    tests: 'RO-02',
  },
  {
    check: 'the key is one of the issuer',
    text: `??\n    refuse('key_unknown', describeKnownKeys(trusted.keys.health()))`,
    instead: `?? (await trusted.keys.find(undefined))!`,
  },
  {
    check: 'req is the request',
    text: `      refuse('request_mismatch', detail);\n`,
  },
  {
    check: 'the headers that the token binds are asserted',
    text: `    assertBoundHeaders(bound, binding.hdr, required);\n`,
  },
  {
    check: 'the headers that must be bound are asserted',
    text: `    assertRequiredHeaders(required, bound, bindable);\n`,
  },
  {
    check: 'the body is asserted',
    text: `  assertBody(bindable, claims.body, digest);\n`,
  },
  {
    check: 'a bound header has the value it had',
    text: "    if (received[name] !== value) refuse('header_mismatch', `${nameFor(name, required)} differs`);\n",
  },
  {
    check: 'a header that must be bound is bound',
    text: "      refuse('header_mismatch', `${name} is not bound`);\n",
  },
  {
    check: 'no transfer coding besides chunked',
    text: `  assertTransferCoding(bindable);\n`,
    tests: 'CH-08',
  },
  {
    check: 'one line of Transfer-Encoding',
    text: ' || others.length > 0) {\n    refuse',
    instead: ') {\n    refuse',
    spec: NEIGHBOURS,
    tests: 'CH-08',
  },
  {
    check: 'content without bdy is refused',
    text: `  if (claim === undefined && request.body.hasContent) refuse('claim_missing', 'bdy');\n`,
  },
  {
    check: 'a request is bound that was not sure to have content',
    text: `bindAsClaimed(bindable, claims, { rules, refusalDetails });`,
    instead: `bindRequest(bindable, []);\n  if (!bindable.body.settle) bindAsClaimed(bindable, claims, { rules, refusalDetails });`,
    spec: NEIGHBOURS,
    tests: 'RB-05',
  },
  {
    check: 'bdy is the digest of the content',
    text: `  if (digest !== claim?.digest) refuse('body_mismatch', describeBody(request));\n`,
  },
]);

const CONTENT_HEADERS = inFile('lib/core/request-binding.ts', [
  {
    check: 'the Content-Type of content must be bound',
    text: `'content-type', `,
    instead: '',
    tests: 'BB-18',
  },
  {
    check: 'the Content-Encoding of content must be bound',
    text: `'content-encoding', `,
    instead: '',
    tests: 'CH-',
  },
  {
    check: 'the Content-Range of content must be bound',
    text: `, 'content-range'`,
    instead: '',
    tests: 'CH-',
  },
  {
    check: 'a header of several values is never bound',
    text: ' && others.length === 0',
    instead: '',
    tests: 'CH-04|CH-07',
  },
]);

const STORES = inFile('lib/replay/memory-replay-store.ts', [
  {
    check: 'a use that lives is seen',
    text: `    if (place.isLive || this.reservations.find(key, now)) return 'seen';\n`,
    spec: STORE,
  },
  {
    check: 'what could have been forgotten is undecided',
    text: '    this.assertNotForgotten(use, now);\n    this.assertRoomFor(use.issuer);\n    this.remember',
    instead: '    this.assertRoomFor(use.issuer);\n    this.remember',
    spec: STORE,
  },
  {
    check: 'a full store refuses',
    text: '    if (free <= 0) this.fail(`the memory store is full (${maxEntries} entries), for ${issuer}`);\n',
    spec: STORE,
  },
  {
    check: 'no issuer has more than its share of the store',
    text: '      this.fail(\n        `${issuer} has used up its share of the memory store (${own} of ${maxEntries} entries)`,\n      );\n',
    spec: STORE,
    tests: 'RP-20',
  },
  {
    check: 'where asked, what was issued before the start is taken for used',
    text: `    if (this.countsAsUsed(use, now)) return 'seen';\n`,
    spec: 'test/nest/shared-replay-store.spec.ts',
    tests: 'RP-13|PF-03',
  },
  {
    check: 'a use that is done is never reserved',
    text: `    if (this.digests.locate(digestOf(key), this.sweptSecond).isLive) return 'seen';\n`,
    spec: MEMORY_LEASES,
  },
  {
    check: 'a use that a delivery holds is busy',
    text: `    if (this.reservations.find(key, now)) return 'busy';\n`,
    spec: MEMORY_LEASES,
  },
  {
    check: 'where asked, a message that was signed before the start is undecided',
    text: `    if (this.countsAsUsed(use, now)) this.fail('it was issued before the memory store was made');\n`,
    spec: MEMORY_LEASES,
    tests: 'RP-13',
  },
  {
    check: 'a message whose use could have been forgotten is undecided',
    text: '    this.assertNotForgotten(use, now);\n    this.reservations.delete(key);\n',
    instead: '    this.reservations.delete(key);\n',
    spec: MEMORY_LEASES,
    tests: 'RP-19',
  },
  {
    check: 'nobody renews the reservation of another',
    text: '    if (this.reservations.find(key, this.settings.monotonicNow())?.owner !== lease.owner)\n      return false;\n',
    spec: MEMORY_LEASES,
  },
  {
    check: 'nobody releases the reservation of another',
    text: '    if (this.reservations.find(key, this.settings.monotonicNow())?.owner !== owner) return;\n',
    spec: MEMORY_LEASES,
  },
  {
    check: 'a commit says that its reservation was lost',
    text: 'return reservation?.owner === owner;',
    instead: 'return true;',
    spec: MEMORY_LEASES,
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
    text: '    this.assertNotForgotten(use);\n',
    spec: 'test/replay/redis-replay-store.spec.ts',
    tests: 'TM-18',
  },
  {
    check: 'a clock put back to a time that is not known is compared with that of Redis',
    text: '      if (this.mayBePutBack(use)) await this.assertClock(use);\n',
    spec: 'test/replay/redis-replay-store.spec.ts',
    tests: 'RP-19',
  },
  {
    check: 'a Redis that tells no time proves no clock',
    text: 'throw new Error(\n      `the clock was put back, and is ${apart.toFixed(1)} s apart from that of Redis`,\n    );',
    instead: '',
    spec: 'test/replay/redis-replay-store.spec.ts',
    tests: 'RP-19',
  },
  {
    check: 'what a clock put back makes valid again is refused',
    text: `    throw new ServiceAuthUnavailableError('replay_store_unavailable', { detail });\n`,
    spec: 'test/replay/redis-replay-store.spec.ts',
    tests: 'RP-19',
  },
  {
    check: 'a token that Redis knows is refused',
    text: `    if (answer === null) return 'seen';\n`,
    instead: `    if (answer === null) return 'first';\n`,
    spec: 'test/nest/shared-replay-store.spec.ts',
    tests: 'RP-03',
  },
  {
    check: 'what the server before may have recorded is undecided',
    text: '    if (this.redis.server.mayHaveLost(use)) throw new Error(LOST);\n',
    spec: 'test/replay/redis-servers.spec.ts',
    tests: 'RF-13',
  },
  {
    check: 'any other answer is none',
    text: `    if (answer !== 'OK') throw new Error('Redis answered neither OK nor nil');\n`,
    spec: 'test/replay/redis-refusals.spec.ts',
  },
  {
    check: 'what Redis cannot tell is refused',
    text: `      if (unchecked) return 'first';\n      throw unavailable(cause);\n`,
    instead: `      return 'first';\n`,
    spec: 'test/nest/shared-replay-store.spec.ts',
    tests: 'RF-0',
  },
]);

const REDIS_COMMANDS = [
  ...inFile('lib/replay/redis-commands.ts', [
    {
      check: 'a client that is not connected is not asked',
      text: '    if (!this.settings.connection.isReady()) throw new Error(this.notConnected());\n',
      spec: 'test/replay/redis-outages.spec.ts',
    },
    {
      check: 'commands do not pile up',
      text: '    throw new Error(`${MAX_UNANSWERED} commands are waiting for Redis`);\n',
      spec: 'test/replay/redis-outages.spec.ts',
    },
    {
      check: 'an answer over another connection is none',
      text: `    if (asked !== this.connections) throw new Error('the connection to Redis was lost meanwhile');\n`,
      spec: 'test/replay/redis-outages.spec.ts',
    },
  ]),
  ...inFile('lib/replay/redis-replay-store.ts', [
    {
      check: 'any other answer to a script is none',
      text: "    throw new Error(`Redis answered none of ${answers.join(', ')}`);\n",
      instead: '    return answers[0];\n',
      spec: REDIS_LEASES,
      tests: 'RP-17',
    },
    {
      check: 'nothing is reserved without Redis',
      text: 'return await this.decide(use, false, async',
      instead:
        "return await this.decide(use, this.settings.onUnavailable === 'accept-unchecked', async",
      spec: REDIS_LEASES,
      tests: 'RF-02',
    },
  ]),
  ...inFile('lib/replay/redis-lease-scripts.ts', [
    {
      check: 'a use that is done in Redis is never reserved',
      text: "return 'seen'`",
      instead: "return 'first'`",
      spec: REDIS_LEASES,
      tests: 'RP-21',
    },
    {
      check: 'a use that a delivery holds in Redis is busy',
      text: "if string.sub(value, 1, 2) == 'r:' then return 'busy' end\n",
      spec: REDIS_LEASES,
      tests: 'RP-21',
    },
    {
      check: 'nobody renews the reservation of another in Redis',
      text: "if redis.call('GET', KEYS[1]) ~= 'r:' .. ARGV[1] then return 'lost' end\nredis.call('PEXPIRE'",
      instead: "redis.call('PEXPIRE'",
      spec: REDIS_LEASES,
      tests: 'RP-22',
    },
    {
      check: 'nobody releases the reservation of another in Redis',
      text: "if redis.call('GET', KEYS[1]) ~= 'r:' .. ARGV[1] then return 'lost' end\nredis.call('DEL'",
      instead: "redis.call('DEL'",
      spec: REDIS_LEASES,
      tests: 'RP-22',
    },
    {
      check: 'a commit writes done over the reservation of another',
      text: " or string.sub(value, 1, 2) == 'r:' then\n  redis.call('SET', KEYS[1], '1'",
      instead: " then\n  redis.call('SET', KEYS[1], '1'",
      spec: REDIS_LEASES,
      tests: 'RP-22',
    },
  ]),
];

const LARGE = 'test/nest/large-bodies.spec.ts';
const UNSEEN = 'test/nest/unseen-bodies.spec.ts';

const BODIES = [
  ...inFile('lib/nest/http/header-list.ts', [
    {
      check: 'an empty header beside another is no anonymous caller',
      text: ` || others.length > 0`,
      spec: 'test/nest/header-lists.spec.ts',
      tests: 'AI-14',
    },
    {
      check: 'headers are looked at where there are no raw ones',
      text: '  return Object.entries(headers ?? {})',
      instead: '  return Object.entries({})',
      spec: UNSEEN,
      tests: 'TF-26',
    },
    {
      check: 'the limit of the server counts',
      text: `typeof most === 'number' ? Math.max(0, most) : undefined`,
      instead: 'undefined',
      spec: HEADER_LISTS,
    },
    {
      check: 'a request whose token may have been cut off is not anonymous',
      text: 'return !isWholeHeaderList({ rawHeaders, maxHeadersCount: maxHeadersCountOf(raw) });',
      instead: 'return false;',
      spec: HEADER_LISTS,
      tests: 'HL-06',
    },
    {
      check: 'the header leaves headers',
      text: `  for (const name of SIGNED_HEADERS) if (headers) delete headers[nameOf(name, headers)];\n`,
      spec: GUARD,
    },
    {
      check: 'the header leaves rawHeaders',
      text: `    if (isSigned(rawHeaders[at])) rawHeaders[at + 1] = '';\n`,
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/http/body/received-body.ts', [
    {
      check: 'what was announced counts when its header is gone',
      text: 'return this.announced || this.seenBytes > 0 || !this.sawAll;',
      instead: 'return false;',
      spec: UNSEEN,
      tests: 'BB-31',
    },
    {
      check: 'what lies in the buffer is seen',
      text: '    if (bytes) this.see(bytes);\n',
      spec: UNSEEN,
      tests: 'BB-32',
    },
    {
      check: 'bytes that are pushed after the end are no bytes',
      text: '    if (this.ended) return false;\n',
      spec: UNSEEN,
      tests: 'BB-33',
    },
    {
      check: 'a stream that ends without saying so is refused',
      text: `    if (this.seenBytes === 0 && !this.ended) throw unverifiable('its end never came');\n`,
      spec: UNSEEN,
      tests: 'BB-33',
    },
    {
      check: 'a body that was read before is not taken for an empty one',
      text: '    if (raw.readableDidRead) return false;\n',
      spec: UNSEEN,
      tests: 'BB-34',
    },
    {
      check: 'what has been read in part is refused',
      text: `      refuseConsumed('something else is reading it');\n`,
      spec: 'test/nest/bodies-streams.spec.ts',
      tests: 'BB-04',
    },
    {
      check: 'what is being decoded to text is refused',
      text: `    if (raw.readableEncoding !== null) refuseConsumed('something decodes it to text');\n`,
      spec: 'test/nest/bodies-streams.spec.ts',
      tests: 'BB-04',
    },
    {
      check: 'bytes held in memory are within the limit',
      text: `    if (!this.raw.readableDidRead) assertWithin(limits, this.raw.readableLength);\n`,
      spec: 'test/nest/bodies-streams.spec.ts',
    },
    {
      check: 'a body others have read is not verified',
      text: `      this.assertUnread();\n`,
      spec: 'test/nest/bodies-streams.spec.ts',
    },
  ]),
  ...inFile('lib/nest/http/body/body-limits.ts', [
    {
      check: 'a consumed body is refused',
      text: "  throw new ServiceTokenRefusedError('body_consumed', { detail: `the body: ${detail}` });\n",
      spec: UNSEEN,
      tests: 'BB-34',
    },
  ]),
  ...inFile('lib/nest/http/body/verifiable-body.ts', [
    {
      check: 'bytes that a platform kept are bytes',
      text: 'if (bytes !== undefined && bytes !== null) {\n      throw new ServiceAuthUsageError(',
      instead: 'if (bytes === 0) {\n      throw new ServiceAuthUsageError(',
      spec: UNSEEN,
      tests: 'BB-34',
    },
    {
      check: 'a platform that kept nothing has not kept an empty body',
      text: `return refuseConsumed('something read it before this library saw it');`,
      instead: 'return new Uint8Array();',
      spec: UNSEEN,
      tests: 'BB-34',
    },
  ]),
  ...inFile('lib/nest/http/body/body-drain.ts', [
    {
      check: 'an announced length is within the limit',
      text: `    assertWithin(limits, announcedBytes(body.raw));\n`,
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
      text: `      const identity = await verification.prove(request, policy);
      verification.accepted(identity);
      return identity;
    } catch (error) {
      verification.failed(error);
      throw error;
`,
      instead: `      const identity = await verification.prove(request, policy);
      verification.accepted(identity);
      return identity;
    } catch (error) {
      verification.failed(error);
      return undefined as never;
`,
      spec: CORE,
    },
    {
      check: 'what observers are told of a message is thrown on',
      text: `      const { identity } = await verification.proveMessage(message, terms);
      verification.accepted(identity);
      return identity;
    } catch (error) {
      verification.failed(error);
      throw error;
`,
      instead: `      const { identity } = await verification.proveMessage(message, terms);
      verification.accepted(identity);
      return identity;
    } catch (error) {
      verification.failed(error);
      return undefined as never;
`,
      spec: MESSAGES,
    },
  ]),
  ...inFile('lib/nest/service-jwt.guard.ts', [
    {
      check: 'the guard authenticates',
      text: `    else await authenticator.authenticate(receivedCallIn(context), route);\n`,
      spec: GUARD,
    },
    {
      check: 'the guard asks what a resolver asks',
      text: `    if (isOfResolver) await authenticator.admitToResolver(context, route);\n    else await`,
      instead: '    if (!isOfResolver) await',
      spec: RESOLVERS,
      tests: 'on express.*GQ-01',
    },
    {
      check: 'a guard without a module refuses',
      text: `    if (!this.authenticator) throw new ServiceAuthUsageError(NO_MODULE);\n    return this.authenticator;`,
      instead: `    return this.authenticator ?? ({ authenticate: async () => undefined } as unknown as RequestAuthenticator);`,
      spec: 'test/nest/forgotten-modules.spec.ts',
      tests: 'CF-',
    },
    {
      check: 'no context of an unknown type',
      text: `    if (!isOfResolver && !authenticator.canVerify(context)) {\n      return await authenticator.refuseContext(context);\n    }\n`,
      spec: GUARD,
    },
    {
      check: 'contexts it does not know are refused first',
      text: `    if (!isOfResolver && !authenticator.canVerify(context)) {\n      return await authenticator.refuseContext(context);\n    }\n    const route = routeOf(context);\n    if (route.mode === 'skip') return true;\n`,
      instead: `    const route = routeOf(context);\n    if (route.mode === 'skip') return true;\n    if (!isOfResolver && !authenticator.canVerify(context)) {\n      return await authenticator.refuseContext(context);\n    }\n`,
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/received-call.ts', [
    {
      check: 'a service without ServiceMessagesModule verifies no message',
      text: `  return carriesTokens && isVerifiable(context.getType(), verifier);`,
      instead: '  return carriesTokens;',
      spec: 'test/nest/kinds/neighbours.spec.ts',
      tests: 'TCP MS-70',
    },
    {
      check: 'a transport that carries no token is refused',
      text: `carriesTokens && isVerifiable`,
      instead: 'isVerifiable',
      spec: 'test/nest/kinds/neighbours.spec.ts',
      tests: 'MS-71',
    },
  ]),
  ...inFile('lib/nest/unsupported-context.ts', [
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
      text: `requires ? 'required' : readMode(route)`,
      instead: 'readMode(route)',
      spec: GUARD,
    },
    {
      check: 'requirements of the controller count',
      text: '    ...marksOfController<T>(key, controller),\n',
      spec: GUARD,
    },
    {
      check: 'marks that an instance has lost stop the request',
      text: '  assertMarksAreKnown(KEYS, route);\n',
      spec: WRAPPED,
      tests: 'TF-34',
    },
    {
      check: 'the strictest of two marks counts',
      text: "isRequired ? 'required' : (ofFunction",
      instead: '(ofFunction',
      spec: WRAPPED,
      tests: 'TF-34',
    },
    {
      check: 'a route without any decorator is guarded',
      text: `ofController ?? 'required'`,
      instead: `ofController ?? 'optional'`,
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
      text: ', subjectRequired, proof },',
      instead: ', proof },',
      spec: GUARD,
    },
    {
      check: '@RequireSubjectProof() reaches the policy',
      text: 'policy: { allowedIssuers, subjectRequired, proof },',
      instead: 'policy: { allowedIssuers, subjectRequired },',
      spec: NEST_GRANTS,
      tests: 'on express.*GR-34',
    },
  ]),
  ...inFile('lib/nest/route-mark.ts', [
    {
      check: 'marks stand on the name of a method too',
      text: '...ofNames<T>(key, places)]);\n}\n\n/** Marks that narrow',
      instead: ']);\n}\n\n/** Marks that narrow',
      spec: WRAPPED,
      tests: 'TF-32',
    },
    {
      check: 'marks stand on the prototype of a class too',
      text: 'read<T>(key, controller), ofPrototype',
      instead: 'read<T>(key, controller)',
      spec: WRAPPED,
      tests: 'TF-33',
    },
    {
      check: 'a function that replaces a marked one is an error',
      text: '  if (isMarked) throw new ServiceAuthUsageError(describeReplaced(route.controller));\n',
      spec: WRAPPED,
      tests: 'TF-34',
    },
    {
      check: 'a name alone opens nothing',
      text: 'isByName ? [] : ofNames<T>(key, places)',
      instead: 'ofNames<T>(key, places)',
      spec: WRAPPED,
      tests: 'TF-34',
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
      text: '    ...lists,\n',
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/user-lookup.ts', [
    {
      check: 'a user nobody knows is refused',
      text: `    if (user === null || user === undefined) throw new ServiceTokenRefusedError('subject_unknown');\n`,
      spec: GUARD,
    },
  ]),
  ...inFile('lib/nest/request-authenticator.ts', [
    {
      check: 'one application does not take the word of another',
      text: 'verificationBy(this.serviceAuth, request.state);',
      instead: 'request.state.verification;',
      spec: GUARD,
    },
    {
      check: 'each route asserts what it asks',
      text: 'const admitted = await this.admit(identity, next);',
      instead: 'const admitted = { identity };',
      spec: GUARD,
    },
    {
      check: 'what was reported before spares a route that refuses nothing',
      text: 'if (next.isReport && !identity && ',
      instead: 'if (!identity && ',
      spec: REPORT,
      tests: 'RO-03',
    },
    {
      check: 'a route that would refuse has no identity',
      text: 'verification.identity = admitted?.identity;',
      instead: 'verification.identity = identity;',
      spec: REPORT,
      tests: 'RO-03',
    },
    {
      check: 'what a route reports counts for no route that refuses',
      text: '(isReport || !begun.isReport)',
      instead: 'true',
      spec: REPORT,
      tests: 'RO-03',
    },
    {
      check: 'a second route asserts its policy',
      text: 'return { identity: identity && (await this.proveFor(identity, handover)) };',
      instead: 'return { identity };',
      spec: GUARD,
    },
    {
      check: 'a second route asserts what it asks besides a proof',
      text: '      assertRoutePolicy(identity, policy);\n',
      spec: GUARD,
    },
    {
      check: 'a second route that asks for a proof gets one',
      text: 'return await proof.proveForRoute(identity, incoming, policy);',
      instead: 'return identity;',
      spec: NEST_GRANTS,
      tests: `on express.*GR-42`,
    },
    {
      check: 'a resolver needs a request that its endpoint has verified',
      text: 'if (!request || !begun?.result) return this.refuseUnverified(context, route);',
      instead: 'if (!request || !begun?.result) return;',
      spec: RESOLVERS,
      tests: 'on express.*GQ-01',
    },
    {
      check: 'a resolver of an unverified request is refused',
      text: '    if (!isReport) throw toResolverException(error);\n',
      spec: RESOLVERS,
      tests: 'on express.*GQ-01',
    },
    {
      check: 'a resolver asserts what it asks',
      text: 'if (identity ? asksNothing(route) : ',
      instead: 'if (identity ? true : ',
      spec: RESOLVERS,
      tests: 'on express.*GQ-04',
    },
    {
      check: 'a resolver that asks for a caller has one',
      text: `asksNothing(route) : route.mode === 'optional') return;`,
      instead: 'asksNothing(route) : true) return;',
      spec: RESOLVERS,
      tests: 'on express.*GQ-06',
    },
    {
      check: 'a resolver that would refuse has no identity',
      text: '    else (begun.inResolvers ??= new Map()).set(route, { wouldBeRefused: true });\n',
      spec: RESOLVERS,
      tests: 'on express.*GQ-05',
    },
    {
      check: 'a second route does not take an anonymous caller',
      text: `throw new ServiceTokenRefusedError('token_missing')`,
      instead: 'return true',
      spec: GUARD,
    },
    {
      check: 'only a caller without a token is anonymous',
      text: ' && !request.hasToken',
      spec: HTTP,
      tests: 'AI-14',
    },
    {
      check: 'a refusal by a second route is not swallowed',
      text: '      if (!isReport) throw answer(error);\n',
      spec: GUARD,
    },
    {
      check: 'a refusal is not swallowed',
      text: `      if (!verification.isReport) throw isRefusal(error) ? this.refuse(request, error) : error;\n`,
      instead: `      if (!verification.isReport && !isRefusal(error)) throw error;\n`,
      spec: GUARD,
    },
    {
      check: 'an unknown error is not swallowed',
      text: `      if (!verification.isReport) throw isRefusal(error) ? this.refuse(request, error) : error;\n`,
      instead: `      if (!verification.isReport && isRefusal(error)) throw this.refuse(request, error);\n`,
      spec: GUARD,
    },
    {
      check: 'the token is taken out of the request',
      text: `    if (this.options.tokenAfterVerification !== 'keep') request.removeToken();\n`,
      spec: GUARD,
    },
    {
      check: 'the grant is taken out of an anonymous request too',
      text: `      this.removeToken(request);\n      return undefined;`,
      instead: '      return undefined;',
      spec: NEST_GRANTS,
      tests: 'on express.*GR-43',
    },
    {
      check: 'request.user is not taken over from others',
      text: `      if (this.users.isConfigured) request.setUser(await this.users.resolve(identity));\n`,
      spec: GUARD,
    },
    {
      check: 'an anonymous caller has no user',
      text: `      if (this.users.isConfigured) request.setUser(undefined);\n`,
      spec: GUARD,
    },
  ]),
  ...inFile('lib/for-whom/service-subject.decorator.ts', [
    {
      check: '@ServiceSubject() has a subject',
      text: '      throw isResolver(context) ? toResolverException(refusal) : refusalIn(context, refusal);\n',
      spec: GUARD,
    },
  ]),
  ...inFile('lib/for-whom/service-caller.decorator.ts', [
    {
      check: 'nothing is injected that nobody verified',
      text: 'if (verification === undefined) {\n    throw',
      instead:
        'if (verification === undefined) return {} as never;\n  if (kind === undefined) {\n    throw',
      spec: GUARD,
    },
    {
      check: 'nothing is injected in a resolver that nobody verified',
      text: '  if (outcome) return outcome;\n  throw new',
      instead: '  if (outcome) return outcome;\n  if (decorator) return {};\n  throw new',
      spec: RESOLVERS,
      tests: 'on express.*GQ-01',
    },
  ]),
  ...inFile('lib/nest/http/private-answer.ts', [
    {
      check: 'caches are told of the token',
      text: `  setHeader(response, 'Vary', appendToken(response.getHeader('Vary')));\n`,
      spec: HTTP,
      tests: 'TS-01|TF-17',
    },
    {
      check: 'answers are private',
      text: `  if (!isPrivate) setHeader(response, 'Cache-Control', 'private');\n`,
      spec: HTTP,
      tests: 'TS-01|TF-17',
    },
  ]),
  ...inFile('lib/nest/http/received-request.ts', [
    {
      check: 'the headers of a refusal are sent',
      text: '      setHeader(this.opened.response, name, value);\n',
      spec: HTTP,
      tests: 'TS-01|TF-17|RP-17',
    },
    {
      check: 'the whole target is bound, as on the wire',
      text: `this.opened.request.originalUrl ?? raw.url ?? ''`,
      instead: `(this.opened.request.originalUrl ?? raw.url ?? '').split('?')[0] ?? ''`,
      spec: HTTP,
      tests: 'RB-',
    },
    {
      check: 'the body is that of the wire',
      text: 'this.bodyToVerify(settings)',
      instead: 'new Uint8Array()',
      spec: HTTP,
      tests: 'BB-',
    },
  ]),
];

const CHOICE = 'test/nest/handler-choice.spec.ts';
const FRESHNESS = 'test/keys/remote-freshness.spec.ts';
const FINDER = 'test/keys/remote-finder.spec.ts';

const CHOICES = [
  ...inFile('lib/core/request.ts', [
    {
      check: 'the host of HTTP/2 is its authority',
      text: '...authorities]',
      instead: ']',
      spec: CHOICE,
      tests: 'RB-27',
    },
    {
      check: 'a host and another authority are two values',
      text: 'values.length === 1 && authorities.length === 1 && values[0] === authorities[0]',
      instead: 'values.length === 1',
      spec: CHOICE,
      tests: 'RB-27',
    },
  ]),
  ...inFile('lib/clients/fetch.ts', [
    {
      check: 'fetch is not given a host that it drops',
      text: '  assertOwnHost(frozen.headers, signedHeaders, url);\n',
      spec: 'test/clients/signed-routing-headers.spec.ts',
      tests: 'OS-25',
    },
  ]),
];

const FOR_WHOM = [
  ...inFile('lib/for-whom/call-decision.ts', [
    {
      check: 'options name the user with our words alone',
      text: `  if (!(mark instanceof NamedSubject)) throw undecided('unreadable');\n`,
      instead: `  if (!(mark instanceof NamedSubject)) return mark as CallSubject;\n`,
      spec: 'test/clients/axios-subjects.spec.ts',
      tests: 'OS-16',
    },
    {
      check: 'a call for a user who is not known is refused',
      text: `  if (mark.isUnknown) throw undecided('unknown');\n`,
      spec: CALL_CONTEXT,
      tests: 'FW-06',
    },
    {
      check: 'an identity that a call names was verified by the service that calls',
      text: `  mark.assertVerifiedBy(settings.receiving);\n`,
      spec: WHOM,
      tests: 'OS-16',
    },
    {
      check: 'without a framework, a call that names nobody is not made',
      text: `  throw undecided('outside');\n`,
      instead: `  return { subject: undefined };\n`,
      spec: WHOM,
      tests: 'OS-29',
    },
  ]),
  ...inFile('lib/for-whom/named-subject.ts', [
    {
      check: 'a user is a URI or a verified identity, and no copy of one',
      text: 'throw new TypeError(\n      `The user of a call',
      instead:
        'return new NamedSubject(user?.subject);\n    void new TypeError(\n      `The user of a call',
      spec: WHOM,
      tests: 'OS-16',
    },
    {
      check: 'an identity that another service verified is refused',
      text: `throw new TypeError(\n      'The identity was verified by another service`,
      instead: `void new TypeError(\n      'The identity was verified by another service`,
      spec: WHOM,
      tests: 'OS-16',
    },
  ]),
  ...inFile('lib/for-whom/fixed-subject.ts', [
    {
      check: 'what was refused where a call was created stays refused',
      text: `    if (typeof this.#decision === 'string') throw undecided(this.#decision);\n`,
      instead: `    if (typeof this.#decision === 'string') return { subject: undefined };\n`,
      spec: WHOM,
      tests: 'OS-31|OS-29',
    },
  ]),
  ...inFile('lib/for-whom/service-call.context.ts', [
    {
      check: 'an identity around a call was verified by the service that calls',
      text: `    subject.assertVerifiedBy(this.serviceAuth.settings.receiving);\n`,
      spec: WHOM,
      tests: 'OS-16',
    },
    {
      check: 'where the user is not known, no call of another is made',
      text: `    if (choice instanceof NamedSubject && choice.isUnknown) return 'unknown';\n`,
      spec: CALL_CONTEXT,
      tests: 'FW-06',
    },
    {
      check: 'shared work is nobody’s',
      text: `    if (choice instanceof Shared) return 'shared';\n`,
      spec: WHOM,
      tests: 'OS-29',
    },
    {
      check: 'by default, a call in a request names its user',
      text: `this.isAmbient ? this.userOf(request) : 'unnamed'`,
      instead: 'this.userOf(request)',
      spec: OBSERVABLES,
      tests: 'explicit and act-as-itself FW-01',
    },
    {
      check: 'outside of requests, a call names its user',
      text: `this.isAmbient ? 'outside' : 'unnamed'`,
      instead: '{ subject: undefined }',
      spec: WHOM,
      tests: 'OS-29',
    },
    {
      check: 'after the answer, a call is for nobody',
      text: `    if (isOver) return 'over';\n`,
      spec: WHOM,
      tests: 'OS-29',
    },
    {
      check: 'a request that proved no user here is not the service itself',
      text: `state?.verification?.identity ? 'other-service' : 'unproved'`,
      instead: '{ subject: undefined }',
      spec: WHOM,
      tests: 'OS-29',
    },
    {
      check: 'two opinions are none',
      text: `return 'two-opinions';`,
      instead: 'return undefined;',
      spec: WHOM,
      tests: 'OS-31',
    },
    {
      check: 'what was created for nobody is not made in a request',
      text: `return 'nobody';`,
      instead: 'return undefined;',
      spec: WHOM,
      tests: 'OS-31',
    },
    {
      check: 'what was created in one request is not made in another',
      text: `'other-request'`,
      instead: 'undefined',
      spec: WHOM,
      tests: 'OS-31',
    },
    {
      check: 'a call is not made forever after the answer',
      text: `'expired'`,
      instead: 'undefined',
      spec: WHOM,
      tests: 'OS-31',
    },
  ]),
  ...inFile('lib/for-whom/service-call.context.ts', [
    {
      check: 'a function that is bound after the answer gets no user back',
      text: 'return this.isOver ? this : new',
      instead: 'return new',
      spec: CALL_CONTEXT,
      tests: 'FW-09',
    },
  ]),
  ...inFile('lib/for-whom/kept-inside.ts', [
    {
      check: 'what is piped to a result is not for the user of that result',
      text: 'deliver(() => subscriber.next(value))',
      instead: 'subscriber.next(value)',
      spec: CALL_CONTEXT,
      tests: 'FW-05',
    },
    {
      check: 'a promise that begins when it is awaited begins for its user',
      text: ` && Object.is(Reflect.get(result, 'then'), PROMISE_THEN)`,
      instead: ' && PROMISE_THEN !== undefined',
      spec: CALL_CONTEXT,
      tests: 'FW-04',
    },
  ]),
  ...inFile('lib/for-whom/stand-ins.ts', [
    {
      check: 'words that a client does not understand fail there',
      text: '  return { ...members, ...(isNothingGiven ? FOR_NOTHING : standInsFor(given)) };\n',
      instead: '  return members;\n',
      spec: WHOM,
      tests: 'OS-30',
    },
  ]),
  ...inFile('lib/nest/axios/service-signing.interceptor.ts', [
    {
      check: 'a call whose user got lost on its way through axios is not made',
      text: `        if (subject === undefined) throw undecided('lost');\n`,
      instead: `        if (subject === undefined) return { subject: undefined };\n`,
      spec: WHOM,
      tests: 'OS-31',
    },
  ]),
  ...inFile('lib/clients/signed-call.ts', [
    {
      check: 'axios sends no call unsigned that names its user',
      text: `  if (isNamed(options)) throw unsignedWords();\n`,
      spec: 'test/clients/axios-urls.spec.ts',
      tests: 'OS-06',
    },
    {
      check: 'fetch sends no call unsigned that names its user',
      text: `  if (isNamed(options)) throw unsignedWords();\n`,
      spec: 'test/clients/fetch-requests.spec.ts',
      tests: 'OS-06',
    },
  ]),
  ...inFile('lib/core/sender.ts', [
    {
      check: 'a service that was closed signs no more',
      text: `    if (this.isClosed) throw new ServiceSigningError('service_closed');\n`,
      spec: WHOM,
      tests: 'OS-26',
    },
  ]),
];

const KEY_SETS = [
  ...inFile('lib/keys/fetch-jwk-set.ts', [
    {
      check: 'a 304 confirms the tag that was sent',
      text: 'opaqueTag(named) === opaqueTag(sent)',
      instead: "named !== ''",
      spec: FRESHNESS,
      tests: 'JF-21',
    },
    {
      check: 'a tag is kept only if it can be sent back',
      text: 'ENTITY_TAG.test(etag) ? etag : undefined',
      instead: "etag === '' ? undefined : etag",
      spec: FRESHNESS,
      tests: 'JF-23',
    },
  ]),
  ...inFile('lib/keys/remote-key-source.ts', [
    {
      check: 'the whole set is fetched once an hour',
      text: 'isWholeDue || this.failures > 0',
      instead: 'this.failures > 0',
      spec: FRESHNESS,
      tests: 'JF-22',
    },
    {
      check: 'after a failure the whole set is fetched',
      text: 'return isWholeDue || this.failures > 0 ? undefined : this.etag',
      instead: 'return isWholeDue ? undefined : this.etag',
      spec: FRESHNESS,
      tests: 'JF-23',
    },
  ]),
  ...inFile('lib/keys/found-issuers.ts', [
    {
      check: 'a finder is asked about service URIs only',
      text: '    if (!isServiceUri(issuer)) return undefined;\n',
      spec: FINDER,
      tests: 'KL-22',
    },
  ]),
  ...inFile('lib/core/service-uri.ts', [
    {
      check: 'the URI of a service has at most 1,024 characters',
      text: 'uri.length <= MAX_SERVICE_URI_LENGTH && ',
      spec: FINDER,
      tests: 'KL-22',
    },
  ]),
  ...inFile('lib/keys/look-up-places.ts', [
    {
      check: 'look-ups for one host are bounded',
      text: ' || takenByHost >= MAX_OF_ONE_HOST',
      spec: FINDER,
      tests: 'KL-23',
    },
    {
      check: 'look-ups at once are bounded',
      text: 'this.taken >= MAX_STRANGERS || ',
      spec: FINDER,
      tests: 'KL-23',
    },
  ]),
];

/** The grants beside the tokens. */
const GRANTS = [
  ...inFile('lib/core/grants/prove-subject.ts', [
    {
      check: `a call without a user where one must be named`,
      text: `    if (terms.asked || terms.proof.withoutSubject === 'refused') refuse('subject_missing');\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `a route that asks for proof refuses a call without a user`,
      text: `if (terms.asked || terms.proof`,
      instead: `if (terms.proof`,
      spec: PROOFS,
      tests: `GR-20`,
    },
    {
      check: `a service without originators believes no grant`,
      text: `    refuse('originator_unknown', 'this service has no \`originators\`, so it believes no grant');\n`,
      instead: `    return NOTHING;\n`,
      spec: PROOFS,
      tests: `nobody vouches`,
    },
    {
      check: `a route is judged whatever the mode of the issuer is`,
      text: `if (terms.asked || mode === 'required')`,
      instead: `if (mode === 'required')`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `what must be proved is judged`,
      text: `if (terms.asked || mode === 'required')`,
      instead: `if (terms.asked)`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `a report gives the handler no grant`,
      text: `    return held ? { held } : NOTHING;`,
      instead: `    return { ...(await judge(claim, terms, verifier)), held };`,
      spec: PROOFS,
      tests: `GR-40`,
    },
    {
      check: `a report turns no other error into a verdict`,
      text: `    if (!isRefusal(error)) throw error;\n    return { refusal: error.code };`,
      instead: `    return { refusal: isRefusal(error) ? error.code : 'grant_invalid' };`,
      spec: PROOFS,
      tests: `no verdict`,
    },
    {
      check: `a pair that is none is not handed on: repeated`,
      text: `  if (others.length > 0) return { unbound: 'repeated' };\n`,
      spec: PROOFS,
      tests: `GR-34 off`,
    },
    {
      check: `a pair that is none is not handed on: claim_only`,
      text: `  if (text === '') return { unbound: 'claim_only' };\n`,
      spec: PROOFS,
      tests: `GR-34 off`,
    },
    {
      check: `a pair that is none is not handed on: header_only`,
      text: `  if (claim.tth === undefined) return { unbound: 'header_only' };\n`,
      spec: PROOFS,
      tests: `GR-34 off`,
    },
    {
      check: `a pair that is none is not handed on: malformed`,
      text: `  if (!isGrantText(text)) return { unbound: 'malformed' };\n`,
      spec: PROOFS,
      tests: `GR-34 off`,
    },
    {
      check: `a pair that is none is not handed on: unequal`,
      text: `  if (claim.tth !== grantHash(text)) return { unbound: 'unequal' };\n`,
      spec: PROOFS,
      tests: `GR-34 off`,
    },
    {
      check: `one header has the grant`,
      text: `  if (others.length > 0) refuse('grant_repeated', 'several Txn-Token headers');\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `there is a grant`,
      text: `  if (text === '' && tth === undefined) refuse('grant_missing');\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `a grant that the token names has come`,
      text: `  if (text === '') refuse('grant_mismatch', 'the token names a grant, and none came with it');\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `the token names the grant`,
      text: `  if (tth === undefined) refuse('grant_mismatch', 'the token does not name the grant beside it');\n`,
      spec: PROOFS,
      tests: `what a refusal says`,
    },
    {
      check: `the form is asked before the hash`,
      text: `  assertGrantText(text);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `the token was made for this grant`,
      text: `  if (tth !== tokenHash) refuse('grant_mismatch', 'the token was made for another grant');\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `the grant is of this trust domain`,
      text: `    refuse('grant_mismatch', 'it was made for another trust domain');\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `the grant is of this user`,
      text: `  if (claims.subject !== subject) refuse('grant_mismatch', 'it was made for another user');\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `its originator may vouch for the user`,
      text: `    refuse('originator_not_allowed', \`\${originator.issuer} may not vouch for this user\`);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `its originator may vouch for the scope`,
      text: `    refuse('originator_not_allowed', \`\${originator.issuer} may not vouch for this scope\`);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `each scope is one of those`,
      text: `claims.scopes.every((scope)`,
      instead: `claims.scopes.some((scope)`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `whom and what it was made for is asked`,
      text: `  assertMeant(claims, subject, grants);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `exp is not over`,
      text: `    refuse('grant_expired', \`exp was \${(seconds - expiresAtSeconds).toFixed(1)} s ago\`);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `iat is not ahead`,
      text: `    refuse('grant_not_yet_valid', \`iat is \${ahead} s ahead of this clock\`);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `nbf is not ahead`,
      text: `    refuse('grant_not_yet_valid', \`nbf is \${ahead} s ahead of this clock\`);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `the grant is not too old`,
      text: `    refuse('grant_expired', \`it is \${age.toFixed(1)} s old; \${limits}\`);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `the smaller age counts`,
      text: `Math.min(proof.maxAgeSeconds, ofRoute)`,
      instead: `Math.max(proof.maxAgeSeconds, ofRoute)`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `its times are asked`,
      text: `  assertAge(claims, terms, verifier);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `what the route asks is asked`,
      text: `  if (terms.asked) assertAsked(claims, terms.asked);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `the route names its originators`,
      text: `    if (!allowed.has(claims.issuer)) refuse('originator_not_allowed', 'by this route');\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `the route names its scopes`,
      text: `    if (!claims.scopes.includes(scope)) refuse('scope_missing', scope);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `the route names its acr`,
      text: `      refuse('authentication_insufficient', \`the route asks for \${[...allowed].join(' or ')}\`);\n`,
      spec: CORE,
      tests: 'GR-',
    },
  ]),
  ...inFile('lib/core/grants/verify-grant.ts', [
    {
      check: `a grant has at most 4,096 characters`,
      text: `  if (text.length > MAX_GRANT_LENGTH) refuse('grant_invalid', 'longer than 4096 characters');\n`,
      spec: CORE,
      tests: `GR-22`,
    },
    {
      check: `one header has one grant`,
      text: `  if (text.includes(',')) refuse('grant_repeated', 'several grants in one header');\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `a grant is visible ASCII`,
      text: `  if (!VISIBLE_ASCII.test(text)) refuse('grant_invalid', 'not visible ASCII');\n`,
      spec: PROOFS,
      tests: `of a space`,
    },
    {
      check: `its originator is one`,
      text: `    refuse('originator_unknown', describeNearOriginator(claims.issuer, grants));`,
      instead: `    [...grants.originators.values()][0] ?? refuse('originator_unknown');`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `its key is one of the originator`,
      text: `    refuse('grant_invalid', \`kid: \${describeKnownKeys(originator.keys.health())}\`);`,
      instead: `    (await [...grants.originators.values()].map(({ keys }) => keys.find(keyId))[2]) ?? refuse('grant_invalid');`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `its algorithm is one of the key`,
      text: `    refuse('grant_invalid', 'alg is not the algorithm of the key');\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `its signature is good`,
      text: `  await asGrant(() => assertSignature(token, { algorithm, key: key.key, load: load?.ofGrants }));\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `what is wrong with a grant is no verdict on the token`,
      text: `    return refuse('grant_invalid', error.detail ?? error.code);`,
      instead: `    throw error;`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `its JOSE header is that of a grant`,
      text: `  assertHeaderProfile(header, unverifiedHeader, HEADER_RULES);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `a known grant has the same key still`,
      text: `  const isSameKey = key.key === known.key || key.key.equals(known.key);`,
      instead: `  const isSameKey = true;`,
      spec: PROOFS,
      tests: `GR-36`,
    },
    {
      check: `a known grant has its key still`,
      text: `  if (key === undefined) return false;`,
      instead: `  if (key === undefined) return true;`,
      spec: PROOFS,
      tests: `GR-36`,
    },
    {
      check: `the algorithm of a known grant holds still`,
      text: `isSameKey && key.algorithms.has(known.algorithm)`,
      instead: `isSameKey`,
      spec: PROOFS,
      tests: `GR-36`,
    },
    {
      check: `a known grant is asked for its originator and key`,
      text: `known && (await isStillGood(known, grants))`,
      instead: `known`,
      spec: PROOFS,
      tests: `GR-36`,
    },
    {
      check: `a good grant is kept`,
      text: `  cache.keep(tokenHash, grant, text.length);\n`,
      spec: PROOFS,
      tests: `GR-01`,
    },
  ]),
  ...inFile('lib/core/grants/grant-cache.ts', [
    {
      check: `at most 10,000 grants are known`,
      text: `this.#byHash.size > MAX_ENTRIES || `,
      spec: GRANT_CACHE,
      tests: `GR-44`,
    },
    {
      check: `at most 16 MiB of grants are known`,
      text: ` || this.#characters > MAX_CHARACTERS`,
      spec: GRANT_CACHE,
      tests: `GR-44`,
    },
  ]),
  ...inFile('lib/core/grants/grant-claims.ts', [
    {
      check: `claims that are not those of a grant are refused`,
      text: `  return refuse('grant_invalid', detail);`,
      instead: `  return undefined as never;`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `exp is after iat`,
      text: `  if (expiresAtSeconds <= issuedAtSeconds) invalid('exp is not after iat');\n`,
      spec: CORE,
      tests: `GR-30`,
    },
    {
      check: `a life is not too long`,
      text: `    invalid(\`exp is more than \${maxLifetimeSeconds} s after iat\`);\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `req_wl is there, and not empty`,
      text: `  if ((readText(payload, 'req_wl') ?? missing('req_wl')) === '') invalid('req_wl is empty');\n`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `iss is there`,
      text: ` ?? missing('iss')`,
      instead: ` ?? ''`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `sub is there`,
      text: `readText(payload, 'sub') ?? missing('sub')`,
      instead: `readText(payload, 'sub') ?? 'urn:x:y'`,
      spec: CORE,
      tests: `GR-28`,
    },
    {
      check: `scope is there`,
      text: `(readText(payload, 'scope') ?? missing('scope'))`,
      instead: `(readText(payload, 'scope') ?? 'x')`,
      spec: CORE,
      tests: `GR-28`,
    },
    {
      check: `iat is there`,
      text: `readSeconds(payload, 'iat') ?? missing('iat')`,
      instead: `readSeconds(payload, 'iat') ?? (readSeconds(payload, 'exp') ?? 0) - 300`,
      spec: CORE,
      tests: `GR-28`,
    },
    {
      check: `exp is there`,
      text: `readSeconds(payload, 'exp') ?? missing('exp')`,
      instead: `readSeconds(payload, 'exp') ?? issuedAtSeconds + 300`,
      spec: CORE,
      tests: `GR-28`,
    },
    {
      check: `a text is a text`,
      text: `  return invalid(\`\${name} is not a string\`);`,
      instead: `  return String(value);`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `aud and txn have their forms`,
      text: `form.test(value) ? value : invalid(\`\${name} has the wrong form\`)`,
      instead: `value`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `sub can be the URI of a user`,
      text: `flaw === undefined ? subject : invalid(\`sub is \${flaw}\`)`,
      instead: `subject`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `scope has its form`,
      text: `  return scopes.every((scope) => SCOPE_TOKEN.test(scope))\n    ? Object.freeze(scopes)\n    : invalid('scope has the wrong form');`,
      instead: `  return Object.freeze(scopes);`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `times are finite numbers`,
      text: `  return invalid(\`\${name} is not a finite number\`);`,
      instead: `  return Number(value);`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `amr is a list of texts`,
      text: `: invalid(\`\${name} is no list of texts\`)`,
      instead: `: []`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `contexts are objects`,
      text: `  return invalid(\`\${name} is not an object\`);`,
      instead: `  return {};`,
      spec: CORE,
      tests: 'GR-',
    },
  ]),
  ...inFile('lib/core/grants/issue-grant.ts', [
    {
      check: `grants are made where it is configured`,
      text: `  if (originate === undefined || trustDomain === undefined) refuse('set \`originate\`');\n`,
      spec: ISSUED,
      tests: `without originate`,
    },
    {
      check: `grants are made of what is read`,
      text: `    if (error instanceof ServiceTokenRefusedError) refuse(error.detail ?? error.code);\n`,
      spec: ISSUED,
      tests: `originate_refused`,
    },
    {
      check: `grants are made of JSON`,
      text: `    if (error instanceof JsonFlaw || error instanceof TypeError) refuse(error.message);\n`,
      spec: ISSUED,
      tests: `originate_refused`,
    },
    {
      check: `what is made is read first`,
      text: `  assertReadable(claims, lifetimeSeconds);\n`,
      spec: ISSUED,
      tests: `originate_refused`,
    },
    {
      check: `a grant that is made has at most 4,096 characters`,
      text: `  if (text.length > MAX_GRANT_LENGTH) refuse('it would be longer than 4096 characters');\n`,
      spec: ISSUED,
      tests: `4,096`,
    },
    {
      check: `its user can be one`,
      text: `  if (flaw !== undefined) refuse(\`the user is \${flaw}\`);\n`,
      spec: ISSUED,
      tests: `no URI`,
    },
    {
      check: `its user is one of those that it authenticates`,
      text: `  if (!isWithinPrefixes(subject, subjects)) refuse('the user is outside of \`originate.subjects\`');\n`,
      spec: ISSUED,
      tests: `originate_refused`,
    },
    {
      check: `who is vouched for is asked`,
      text: `  assertSubject(subject, originate);\n`,
      spec: ISSUED,
      tests: `originate_refused`,
    },
    {
      check: `it lives as long as it may`,
      text: `    refuse(\`lifetimeSeconds is no whole number from 1 to \${maxLifetimeSeconds}\`);\n`,
      spec: ISSUED,
      tests: `a life of`,
    },
    {
      check: `its scopes have no spaces`,
      text: `    refuse("scope is no text without spaces, such as 'notification:create', and no list of them");\n`,
      spec: ISSUED,
      tests: `the scope`,
    },
    {
      check: `what was not made is an error`,
      text: `  throw new ServiceSigningError('originate_refused', { detail });`,
      instead: `  return undefined as never;`,
      spec: ISSUED,
      tests: `originate_refused`,
    },
  ]),
  ...inFile('lib/core/verification-steps.ts', [
    {
      check: `a found issuer says what it must prove`,
      text: `    refuse(\n      'subject_not_allowed',\n      \`the finder of trustedIssuers gave no subjectProof for \${trusted.issuer}\`,\n    );\n`,
      spec: GRANT_OPTIONS,
      tests: `GR-38`,
    },
  ]),
  ...inFile('lib/core/verify-request.ts', [
    {
      check: `the user is proved`,
      text: `  const proof = await proveUser(claims, { trusted, policy, headers: bindable }, verifier);`,
      instead: `  const proof: ProofOutcome = { ...(await Promise.resolve()) };`,
      spec: CORE,
      tests: 'GR-',
    },
    {
      check: `a second route that asks for proof gets it`,
      text: `  if (policy.proof === undefined) return identity;`,
      instead: `  if (policy !== undefined) return identity;`,
      spec: NEST_GRANTS,
      tests: `on express.*GR-42`,
    },
  ]),
  ...inFile('lib/for-whom/service-call.context.ts', [
    {
      check: `who was called by a service vouches for nobody`,
      text: `    throw new ServiceSigningError('originate_refused', { detail });\n`,
      instead: `    void detail;\n`,
      spec: ORIGINATE,
      tests: `on express`,
    },
    {
      check: `a grant is made or given`,
      text: `      throw new TypeError('Give runOnBehalfOf() a grant, or let it originate one, not both.');\n`,
      spec: ORIGINATE,
      tests: `on express`,
    },
    {
      check: `what asks for a grant is true or an object`,
      text: `      throw new TypeError(
        \`originate is true, or says what the grant says: got \${String(options)}.\`,
      );`,
      spec: 'test/for-whom/grants-originated.spec.ts',
    },
    {
      check: `a grant is for a user`,
      text: `    if (subject === undefined) throw undecided('unknown');\n    const held =`,
      instead: `    if (subject === undefined) return named;\n    const held =`,
      spec: ORIGINATE,
      tests: `on express`,
    },
    {
      check: `whether it may vouch is asked`,
      text: `    this.assertMayOriginate(options);\n`,
      spec: ORIGINATE,
      tests: `on express`,
    },
    {
      check: `a grant that is over is not used`,
      text: `    if (held.isOver(this.serviceAuth.settings.now())) throw unusable('it is over');\n`,
      spec: ORIGINATE,
      tests: `on express`,
    },
  ]),
  ...inFile('lib/core/request-shape.ts', [
    {
      check: `grant is a string`,
      text: `  if (!isGrant) fail('\`grant\`', 'a string or undefined', grant);\n`,
      spec: SHAPES,
    },
  ]),
  ...inFile('lib/for-whom/require-subject-proof.decorator.ts', [
    {
      check: `the smallest age of several decorators`,
      text: `Math.min(...ages)`,
      instead: `Math.max(...ages)`,
      spec: NEST_GRANTS,
      tests: `on express.*GR-41`,
    },
    {
      check: `scopes of several decorators all hold`,
      text: `asked.flatMap(({ scopes = [] }) => scopes)`,
      instead: `(asked[0]?.scopes ?? [])`,
      spec: NEST_GRANTS,
      tests: `on express.*GR-41`,
    },
    {
      check: `originators of several decorators all hold`,
      text: `asked.flatMap(({ originators = [] }) => originators)`,
      instead: `(asked[0]?.originators ?? [])`,
      spec: NEST_GRANTS,
      tests: `on express.*GR-41`,
    },
    {
      check: `acrs of several decorators all hold`,
      text: `asked.flatMap(({ acrs = [] }) => acrs)`,
      instead: `(asked[0]?.acrs ?? [])`,
      spec: NEST_GRANTS,
      tests: `on express.*GR-41`,
    },
  ]),
];

const MESSAGE_CHECKS = [
  ...inFile('lib/core/messages/verify-message.ts', [
    {
      check: 'messages have the strict profile',
      text: `  if (trusted.profile === 'original') refuse('header_invalid', 'messages need the strict profile');\n`,
      spec: MESSAGES,
      tests: 'MS-15',
    },
    {
      check: 'a message has its own type',
      text: `  assertHeaderProfile(header, token.unverifiedHeader, HEADER_RULES);\n`,
      spec: MESSAGES,
      tests: 'MS-07',
    },
    {
      check: 'the key of a message is one of the issuer',
      text: `??\n    refuse('key_unknown', describeKnownKeys(trusted.keys.health()))`,
      instead: `?? (await trusted.keys.find(undefined))!`,
      spec: MESSAGES,
      tests: 'MS-13',
    },
    {
      check: 'alg of a message is the algorithm of the key',
      text: `  assertAlgorithm(header, key);\n`,
      spec: MESSAGES,
      tests: 'MS-13',
    },
    {
      check: 'a message is signed',
      text: `await verifyClaims(unverified, token, check);`,
      instead: `unverified as unknown as VerifiedClaims;`,
      spec: MESSAGES,
      tests: 'MS-13',
    },
    {
      check: 'the times of a message are asserted',
      text: `  assertMessageTimes(claims, limits, now());\n  const audience`,
      instead: `  const audience`,
      spec: MESSAGES,
      tests: 'MS-10',
    },
    {
      check: 'the times of a message are asserted again',
      text: `  assertMessageTimes(claims, limits, now());\n  const use`,
      instead: `  const use`,
      spec: MESSAGES,
      tests: 'MS-10',
    },
    {
      check: 'a message is for this service',
      text: `readMessageAudience(claims, message, settings);`,
      instead: `claims.audience ?? '';`,
      spec: MESSAGES,
      tests: 'MS-11',
    },
    {
      check: 'only an event may be for a topic',
      text: `verb === 'EMIT' && topics.size > 0`,
      instead: `topics.size > 0`,
      spec: MESSAGES,
      tests: 'MS-12',
    },
    {
      check: 'a message has its pattern and verb',
      text: `  assertLine(claims, message);\n`,
      spec: MESSAGES,
      tests: 'MS-05',
    },
    {
      check: 'a message with another pattern is refused',
      text: `  refuse('request_mismatch', isOtherVerb ? 'the verb differs' : 'the pattern differs');\n`,
      instead: `  void isOtherVerb;\n`,
      spec: MESSAGES,
      tests: 'MS-06',
    },
    {
      check: 'the data are what was signed',
      text: `  if (digestOf(message, trusted) !== signedDigest) refuse('body_mismatch', 'the data differs');\n`,
      spec: MESSAGES,
      tests: 'MS-04',
    },
    {
      check: 'the policy of a handler is asserted',
      text: `  assertPolicy(claims, trusted, policy);\n`,
      spec: MESSAGES,
      tests: 'MS-21',
    },
    {
      check: 'the user of a message is proved',
      text: `await proveUser(claims, { trusted, policy, headers: message }, verifier);`,
      instead: `{ ...(await Promise.resolve()) } as Awaited<ReturnType<typeof proveUser>>;`,
      spec: MESSAGES,
      tests: 'MS-20',
    },
    {
      check: 'a message is used once',
      text: `  if (replay === 'record') assertFirst(await recordUse(counted, settings));\n`,
      spec: MESSAGES,
      tests: 'MS-08',
    },
    {
      check: 'what reports a message records uses apart',
      text: `enforcement === 'report' ? apart(use) : use`,
      instead: `use`,
      spec: MESSAGES,
      tests: 'MS-25',
    },
    {
      check: 'a use of a message is remembered for another tolerance',
      text: `forgetAtSeconds + limits.clockToleranceSeconds`,
      instead: `forgetAtSeconds`,
      spec: MESSAGES,
      tests: 'MS-08',
    },
    {
      check: 'a message has each claim',
      text: `  if (missing !== undefined) refuse('claim_missing', missing);\n`,
      spec: MESSAGES,
      tests: 'MS-10',
    },
    {
      check: 'a message binds no header',
      text: `  if (payload['hdr'] !== undefined) refuse('claim_invalid', 'hdr means nothing in a message');\n`,
      spec: MESSAGES,
      tests: 'MS-16',
    },
    {
      check: 'a message has one digest',
      text: `    refuse('claim_invalid', \`\${other} is not what messages of this issuer sign\`);\n`,
      spec: MESSAGES,
      tests: 'MS-17',
    },
    {
      check: 'a message has a digest',
      text: `  if (digest === undefined) refuse('claim_missing', wanted);\n`,
      spec: MESSAGES,
      tests: 'MS-04',
    },
    {
      check: 'the digest of a message is one of SHA-256',
      text: `  return refuse('claim_invalid', \`\${wanted} is no SHA-256 digest\`);`,
      instead: `  return String(digest);`,
      spec: MESSAGES,
      tests: 'MS-04',
    },
    {
      check: 'bytes that nobody sees are refused',
      text: `  return refuse('body_unverifiable', 'this transport does not show the bytes of a message');`,
      instead: `  return hash('sha256', readMessageText(data), 'hex');`,
      spec: MESSAGES,
      tests: 'MS-17',
    },
  ]),
  ...inFile('lib/core/messages/message-times.ts', [
    {
      check: 'a message has times',
      text: ` return refuse('claim_missing');`,
      instead: ` return;`,
      spec: MESSAGES,
      tests: 'MS-10',
    },
    {
      check: 'a message is not too old',
      text: `  if (exp + tolerance <= now) refuse('token_expired', ago(exp, now));\n`,
      spec: MESSAGES,
      tests: 'MS-10',
    },
    {
      check: 'a message is not of the future',
      text: `  if (iat - tolerance > now) refuse('token_not_yet_valid', apart('iat', iat, now));\n`,
      spec: MESSAGES,
      tests: 'MS-10',
    },
    {
      check: 'a message is valid for some time',
      text: `  if (exp <= start) refuse('claim_invalid', 'exp is not after iat and nbf');\n`,
      spec: MESSAGES,
      tests: 'MS-10',
    },
    {
      check: 'a message is not valid too long',
      text: `    refuse('lifetime_too_long', \`\${exp - start} s, where at most \${longest} s are accepted\`);\n`,
      spec: MESSAGES,
      tests: 'MS-10',
    },
    {
      check: 'a message is not delayed too long',
      text: `    refuse('lifetime_too_long', \`nbf is \${start - iat} s after iat\`);\n`,
      spec: MESSAGES,
      tests: 'MS-10',
    },
    {
      check: 'a message is valid already',
      text: `  if (nbf - tolerance > now) refuse('token_not_yet_valid', apart('nbf', nbf, now));\n`,
      spec: MESSAGES,
      tests: 'MS-10',
    },
  ]),
  ...inFile('lib/core/messages/message-text.ts', [
    {
      check: 'bytes are not signed as objects',
      text: `  if (holdsBytes(given)) unsignable('its data holds bytes: write them as base64 text');\n`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'what no receiver reads is not signed',
      text: `  if (flaw !== undefined) unsignable(flaw);\n`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'what is no JSON is not signed',
      text: `    throw new ServiceSigningError('message_unsignable', { detail: reasonOf(cause), cause });\n`,
      instead: `    return 'null';\n`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'nothing is not signed',
      text: `text ?? unsignable(\`its data is of type \${typeof data}\`)`,
      instead: `text ?? 'null'`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'what cannot be signed is refused',
      text: `  throw new ServiceSigningError('message_unsignable', { detail });\n`,
      instead: `  return detail as never;\n`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'data of no text are refused',
      text: `  if (flaw !== undefined) refuse('body_unverifiable', flaw);\n`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'data are not nested too deep',
      text: `depth > MAX_DEPTH || left < 0`,
      instead: `left < 0`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'data have not too many values',
      text: `depth > MAX_DEPTH || left < 0`,
      instead: `depth > MAX_DEPTH`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'numbers are finite',
      text: `if (!Number.isFinite(value)) return 'the data has a number that is not finite';\n      `,
      instead: ``,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'no number is a negative zero',
      text: `return Object.is(value, -0) ? 'the data has a negative zero' : undefined;`,
      instead: `return undefined;`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'objects are those of JSON',
      text: `value === null || isPlain(value)`,
      instead: `value === null || value`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'objects write themselves',
      text: `  if (typeof Reflect.get(value, 'toJSON') === 'function') return false;\n`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'objects are no instances',
      text: `return typeof prototype === 'object' && Object.getPrototypeOf(prototype) === null;`,
      instead: `return true;`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
    {
      check: 'values are those of JSON',
      text: `return \`the data has a value of type \${typeof value}\`;`,
      instead: `return undefined;`,
      spec: MESSAGES,
      tests: 'MS-18',
    },
  ]),
  ...inFile('lib/core/messages/answer-token.ts', [
    {
      check: 'an answer is of the service that was asked',
      text: `    if (payload['iss'] !== answerer) mismatch('it is of another service');\n`,
      spec: MESSAGES,
      tests: 'MS-33',
    },
    {
      check: 'an answer is for the service that asked',
      text: `    if (payload['aud'] !== asker) mismatch('it is for another service');\n`,
      spec: MESSAGES,
      tests: 'MS-33',
    },
    {
      check: 'an answer is to this message',
      text: `    if (payload['rid'] !== tokenId) mismatch('it is to another message');\n`,
      spec: MESSAGES,
      tests: 'MS-33',
    },
    {
      check: 'an answer ends',
      text: `    if (this.isOver) mismatch('something follows its end');\n`,
      spec: MESSAGES,
      tests: 'MS-31',
    },
    {
      check: 'an answer has its parts in order',
      text: `    if (payload['seq'] !== this.next) mismatch('a part is missing, repeated or out of order');\n`,
      spec: MESSAGES,
      tests: 'MS-33',
    },
    {
      check: 'the data of an answer are what was signed',
      text: `      throw new ServiceAnswerRefusedError('answer_invalid', { detail: 'the data differs' });\n`,
      instead: `      void 0;\n`,
      spec: MESSAGES,
      tests: 'MS-31',
    },
    {
      check: 'an answer ends with an error',
      text: `isEnd || isError;`,
      instead: `isEnd;`,
      spec: MESSAGES,
      tests: 'MS-31',
    },
    {
      check: 'an answer has its own type',
      text: `      assertHeaderProfile(header, token.unverifiedHeader, HEADER_RULES);\n`,
      spec: MESSAGES,
      tests: 'MS-07',
    },
    {
      check: 'the key of an answer is known',
      text: `      if (key === undefined) invalid('its key is not known');\n`,
      instead: `      if (key === undefined) return token.unverifiedPayload;\n`,
      spec: MESSAGES,
      tests: 'MS-32',
    },
    {
      check: 'alg of an answer is the algorithm of the key',
      text: `      if (!key.algorithms.has(header.algorithm)) invalid('alg is not the algorithm of the key');\n`,
      spec: MESSAGES,
      tests: 'MS-32',
    },
    {
      check: 'an answer is signed',
      text: `      await assertSignature(token, { algorithm: header.algorithm, key: key.key });\n`,
      spec: MESSAGES,
      tests: 'MS-32',
    },
    {
      check: 'what is no token is no answer',
      text: `    return invalid(error.detail ?? error.code);`,
      instead: `    return {} as never;`,
      spec: MESSAGES,
      tests: 'MS-32',
    },
    {
      check: 'a mark of an answer is true',
      text: `  return invalid(\`\${name} is not true\`);`,
      instead: `  return false;`,
      spec: MESSAGES,
      tests: 'MS-31',
    },
    {
      check: 'an answer that does not fit is refused',
      text: `  throw new ServiceAnswerRefusedError('answer_mismatch', { detail });\n`,
      instead: `  return detail as never;\n`,
      spec: MESSAGES,
      tests: 'MS-33',
    },
    {
      check: 'an answer that is not valid is refused',
      text: `  throw new ServiceAnswerRefusedError('answer_invalid', { detail });\n`,
      instead: `  return detail as never;\n`,
      spec: MESSAGES,
      tests: 'MS-31|MS-32',
    },
  ]),
  ...inFile('lib/core/verification-steps.ts', [
    {
      check: 'the issuer is trusted for this way of calling',
      text: `  if (transports.has(transport)) return trusted;\n`,
      instead: `  if (transport) return trusted;\n`,
      spec: MESSAGES,
      tests: 'MS-14',
    },
  ]),
  ...inFile('lib/nest/messages/received-message.ts', [
    {
      check: 'an event is not lost without a word',
      text: `    this.assertDelivery(reception);\n`,
      spec: DELIVERIES,
      tests: 'MS-40',
    },
    {
      check: 'a service says that events may be lost',
      text: `if (!isEvent || !isAcknowledgedUnread || isAtMostOnce) return;`,
      instead: `if (isEvent) return;`,
      spec: DELIVERIES,
      tests: 'MS-40',
    },
    {
      check: 'handlers of one event agree on who handles it',
      text: `    if (isForEachInstance === this.isForEachInstance) return;\n`,
      instead: `    if (this.route) return;\n`,
      spec: DELIVERIES,
      tests: 'MS-57',
    },
    {
      check: 'a service has begun to verify',
      text: `    throw new ServiceAuthUsageError('No service has begun to verify this message.');\n`,
      instead: `    return undefined as never;\n`,
      spec: DELIVERIES,
      tests: 'MS-40',
    },
    {
      check: 'a second consumer drops what another one has',
      text: `      if (isSeen && this.delivery.endpoint.isFanOut) this.drop(verification);\n`,
      spec: DELIVERIES,
      tests: 'MS-08',
    },
    {
      check: 'a message that was handled is refused',
      text: `      throw error;\n    }\n  }\n\n  private drop`,
      instead: `      return undefined as never;\n    }\n  }\n\n  private drop`,
      spec: DELIVERIES,
      tests: 'MS-08',
    },
    {
      check: 'an event is held while it is handled',
      text: `    if (isHeld) await this.reserve(verified, { verification, reception });\n`,
      spec: DELIVERIES,
      tests: 'MS-08',
    },
    {
      check: 'an event that was handled is refused',
      text: `      throw new ServiceTokenRefusedError('token_replayed');\n`,
      instead: `      return;\n`,
      spec: DELIVERIES,
      tests: 'MS-08',
    },
    {
      check: 'an event that was handled is dropped',
      text: `      this.drop(verification);\n      throw new`,
      instead: `      throw new`,
      spec: DELIVERIES,
      tests: 'MS-08',
    },
    {
      check: 'an event that another one holds is busy',
      text: `    if (held === 'busy') throw new ServiceAuthUnavailableError('message_busy');\n`,
      instead: `    if (held === 'busy') return;\n`,
      spec: DELIVERIES,
      tests: 'MS-08',
    },
    {
      check: 'what is undecided comes again',
      text: `status === 503 && isEvent ? 'requeue' : 'dead-letter'`,
      instead: `'dead-letter'`,
      spec: DELIVERIES,
      tests: 'MS-08',
    },
    {
      check: 'what is refused does not come again',
      text: `status === 503 && isEvent ? 'requeue' : 'dead-letter'`,
      instead: `'requeue'`,
      spec: DELIVERIES,
      tests: 'MS-08',
    },
  ]),
  ...inFile('lib/nest/messages/signed-client.ts', [
    {
      check: 'a request whose answer nobody can verify is not sent',
      text: `    const isUsable = this.settings.answerKeys?.assertUsable();\n    if (isUsable) await isUsable.catch((error: unknown) => this.failBefore(error));\n`,
      spec: 'test/nest/messages/answer-keys.spec.ts',
      tests: 'MS-58',
    },
    {
      check: 'answers arrive in the context of their own call',
      text: `    return deliveredInSubscription(answers);\n`,
      instead: `    return answers;\n`,
      spec: 'test/nest/messages/service-messages.module.spec.ts',
      tests: 'MS-73',
    },
    {
      check: 'a client that only emits sends nothing that is answered',
      text: `    if (verb === 'SEND') assertAnswered(settings);\n`,
      spec: CLIENTS,
      tests: 'MS-50',
    },
    {
      check: 'a client that only emits fails where it is asked',
      text: `  throw new ServiceSigningError('message_unsignable', {\n    detail: "its client only emits`,
      instead: `  void new ServiceSigningError('message_unsignable', {\n    detail: "its client only emits`,
      spec: CLIENTS,
      tests: 'MS-50',
    },
    {
      check: 'a hook puts no second token beside a message',
      text: `...unsigned({ ...packet.metadata })`,
      instead: `...packet.metadata`,
      spec: CLIENTS,
      tests: 'MS-52',
    },
  ]),
  ...inFile('lib/nest/messages/message-clients.provider.ts', [
    {
      check: 'a client signs as one place says',
      text: `      if (noted === 'other') reader.report('client', SIGNS_OTHERWISE);\n`,
      spec: CLIENTS,
      tests: 'MS-51',
    },
  ]),
  ...inFile('lib/nest/messages/message-call-kind.ts', [
    {
      check: 'a transport without tokens is refused',
      text: `deliveryOf(context.switchToRpc().getContext()) !== undefined`,
      instead: `context !== undefined`,
      spec: REFUSED_MESSAGES,
      tests: 'MS-55',
    },
    {
      check: 'each handler of one event is asked who handles it',
      text: `  message?.assertConsumer(isForEachInstance(context));\n`,
      spec: REFUSED_MESSAGES,
      tests: 'MS-57',
    },
  ]),
  ...inFile('lib/nest/messages/header-carrier.ts', [
    {
      check: 'each spelling of a header counts',
      text: `headers.set(lower, [...(headers.get(lower) ?? []), ...(carrier?.values(name) ?? [])]);`,
      instead: `headers.set(lower, carrier?.values(name) ?? []);`,
      spec: DELIVERIES,
      tests: 'MS-03',
    },
    {
      check: 'handlers see no token',
      text: `  for (const name of carrier?.names().filter(isSigned) ?? []) carrier?.remove(name);\n`,
      spec: DELIVERIES,
      tests: 'MS-02',
    },
  ]),
  ...inFile('lib/nest/messages/held-use.ts', [
    {
      check: 'a store of events reserves',
      text: `  throw new ServiceAuthUsageError(\n    'The replayStore has no reserve()`,
      instead: `  return replayStore as LeasingReplayStore;\n  throw new ServiceAuthUsageError(\n    'The replayStore has no reserve()`,
      spec: DELIVERIES,
      tests: 'MS-40',
    },
  ]),
  ...inFile('lib/nest/messages/message-reception.ts', [
    {
      check: 'two modules agree on how a service receives',
      text: `    if (problems.length > 0) throw new ServiceAuthConfigError(problems);\n`,
      spec: DELIVERIES,
      tests: 'MS-56',
    },
    {
      check: 'a guard of messages needs the module',
      text: `    throw new ServiceAuthUsageError(\n      'The guard of a message handler`,
      instead: `    if (verifier) return undefined as never;\n    throw new ServiceAuthUsageError(\n      'The guard of a message handler`,
      spec: DELIVERIES,
      tests: 'MS-40',
    },
  ]),
];

const MOUNTS = [
  ...inFile('lib/nest/service-auth.middleware.ts', [
    {
      check: 'a mount verifies',
      text: `      await this.authenticator.authenticate(request, route);\n`,
      instead: `      await Promise.resolve();\n`,
      spec: MOUNTED,
      tests: 'on express.*GQ-02',
    },
    {
      check: 'what a mount refuses goes no further',
      text: `return isAnswer(error) ? refuse(error) : fail(error);`,
      instead: `if (isAnswer(error)) refuse(error);\n      else fail(error);`,
      spec: MOUNTED,
      tests: 'on express.*GQ-02',
    },
    {
      check: 'a mount names the services that may call',
      text: `allowIssuers === undefined ? [] : [new Set(allowIssuers)]`,
      instead: `[]`,
      spec: MOUNTED,
      tests: 'on express.*GQ-04',
    },
    {
      check: 'a mount asks for a user',
      text: `subjectRequired: requireSubject,`,
      instead: `subjectRequired: false,`,
      spec: MOUNTED,
      tests: 'on express.*GQ-04',
    },
    {
      check: 'what asks for a caller admits nobody',
      text: `anonymous === 'admit' && !asks`,
      instead: `anonymous === 'admit'`,
      spec: MOUNTED,
      tests: 'on express.*GQ-06',
    },
    {
      check: 'a handshake that is refused opens nothing',
      text: `        refuse: (exception) => handshake.refuse(exception),\n`,
      instead: `        refuse: () => {\n          handshake.accept();\n          next();\n        },\n`,
      spec: HANDSHAKES,
      tests: 'on express.*GQ-09',
    },
    {
      check: 'options of a mount are known',
      text: `      throw new ServiceAuthUsageError(\`\${name} is no option of a mount: write one of \${names}.\`);\n`,
      instead: `      void names;\n      continue;\n`,
      spec: MOUNTED,
      tests: 'GQ-07',
    },
    {
      check: 'options of a mount are meant',
      text: `    if (!isMeant(value)) throw new ServiceAuthUsageError(\`\${name}: write \${whatToWrite}.\`);\n`,
      instead: `    void [isMeant, whatToWrite];\n`,
      spec: MOUNTED,
      tests: 'GQ-07',
    },
  ]),
  ...inFile('lib/nest/resolver-context.ts', [
    {
      check: 'what only looks like a request is none',
      text: `isObject(request) ? ReceivedRequest.verified(request) : undefined`,
      instead: `isObject(request) ? (ReceivedRequest.verified(request) ?? (request as ReceivedRequest)) : undefined`,
      spec: RESOLVERS,
      tests: 'on express.*GQ-01',
    },
  ]),
  ...inFile('lib/nest/resolver-context.ts', [
    {
      check: 'a context that names two requests is of none',
      text: `  if (ofApollo && ofMercurius && ofApollo !== ofMercurius) return undefined;\n`,
      spec: RESOLVERS,
      tests: 'on express.*GQ-08',
    },
    {
      check: 'a guarded endpoint says whose a context is',
      text: `  if (named !== undefined) return verifiedIn(named);\n`,
      instead: `  void named;\n`,
      spec: RESOLVERS,
      tests: 'on express.*GQ-08',
    },
  ]),
  ...inFile('lib/nest/graphql/request-context.ts', [
    {
      check: 'each request has a context of its own',
      text: `isObject(given ?? {}) ? copyFor(requestIn(args), given ?? {}) : given`,
      instead: `given`,
      spec: CONTEXTS,
      tests: 'Mercurius GQ-08',
    },
  ]),
  ...inFile('lib/nest/graphql/guarded-driver.ts', [
    {
      check: 'a guarded driver has a route',
      text: `      if (endpoint.routes === false) throw new ServiceAuthConfigError([NO_ROUTE]);\n`,
      spec: CONTEXTS,
      tests: 'GQ-07',
    },
    {
      check: 'a guarded driver on Express knows where its endpoint is',
      text: `      if (path === undefined || server !== undefined) throw new ServiceAuthConfigError([NO_PATH]);\n`,
      instead: `      if (path === undefined) return await begin();\n`,
      spec: CONTEXTS,
      tests: 'GQ-07',
    },
    {
      check: 'an endpoint on Express is verified',
      text: `      httpAdapter.use(path, middleware.express({ ...mount, route: path }));\n`,
      instead: `      void path;\n`,
      spec: REACHED,
      tests: 'Apollo on express GQ-02',
    },
    {
      check: 'an endpoint on Fastify is verified',
      text: `      else verify(request, reply, ...rest);\n`,
      instead: `      else goOn(rest);\n`,
      spec: REACHED,
      tests: '(Apollo on fastify|Mercurius) GQ-02',
    },
    {
      check: 'an upload on Fastify is verified before it is parsed',
      text: `if (isMultipart(request.raw)) verify(request, reply, ...rest);\n      else goOn(rest);`,
      instead: `goOn(rest);`,
      spec: REACHED,
      tests: '(Apollo on fastify|Mercurius) GQ-03 an upload',
    },
    {
      check: 'no transport is there that nobody verifies',
      text: `      if (subscriptions === 'refuse') assertNoSockets(endpoint);\n`,
      spec: DRIVERS,
      tests: 'GQ-07',
    },
    {
      check: 'each kind of socket is known',
      text: `['subscriptions', 'subscription', 'installSubscriptionHandlers'] as const`,
      instead: `['installSubscriptionHandlers'] as const`,
      spec: DRIVERS,
      tests: 'GQ-07',
    },
    {
      check: 'a socket that is open verifies requests nevertheless',
      text: `if (subscriptions === 'open' && isSocket(request))`,
      instead: `if (subscriptions === 'open')`,
      spec: DRIVERS,
      tests: 'GQ-02',
    },
    {
      check: 'a driver needs the module',
      text: `      if (!middleware) throw new ServiceAuthUsageError(NO_MODULE);\n`,
      instead: `      if (!middleware) return await super.start(endpoint);\n`,
      spec: DRIVERS,
      tests: 'GQ-07',
    },
  ]),
];

/** @type {readonly Removal[]} */
export const REMOVALS = [
  ...GRANTS,
  ...SYNTAX,
  ...JSON_TEXT,
  ...HEADER,
  ...CLAIMS,
  ...SUBJECT,
  ...TIMES,
  ...SIGNATURE,
  ...SHAPE,
  ...ANSWER,
  ...STEPS,
  ...DECISION,
  ...CONTENT_HEADERS,
  ...STORES,
  ...USES,
  ...REDIS,
  ...REDIS_COMMANDS,
  ...BODIES,
  ...AT_THE_DOOR,
  ...CHOICES,
  ...FOR_WHOM,
  ...KEY_SETS,
  ...MESSAGE_CHECKS,
  ...MOUNTS,
].map((removal) => ({ spec: CORE, ...removal }));

/**
 * Lines that look like checks and need no entry of their own: file, text, reason.
 *
 * @type {readonly [file: string, text: string, reason: string][]}
 */
export const EXEMPT = [
  [
    'lib/core/verification-steps.ts',
    'return refuse(',
    'what is said of an issuer that is trusted otherwise, and an entry takes the question out',
  ],
  [
    'lib/core/messages/verify-message.ts',
    "?? refuse('claim_missing', 'jti')",
    'cannot be: the claim was asked for before',
  ],
  ['lib/core/messages/message-text.ts', "return 'its data", 'the words of a reason'],
  [
    'lib/core/messages/message-text.ts',
    "return unsignable('its text is no JSON')",
    'without it the error of JSON.parse() says so',
  ],
  ['lib/core/messages/message-text.ts', "return 'found'", 'finds, refuses nothing'],
  [
    'lib/nest/messages/received-message.ts',
    'throw new ServiceAuthUsageError(',
    'entries take out what asks for it',
  ],
  ['lib/nest/messages/message-reception.ts', "return 'SEND'", 'names what uses exclude each other'],
  [
    'lib/nest/received-call.ts',
    'throw new ServiceAuthUsageError(',
    'without it the guard fails as well: it has no call to verify',
  ],
  [
    'lib/nest/graphql/guarded-driver.ts',
    'throw new ServiceAuthUsageError("subscriptions: write',
    'any other word opens nothing more than open does',
  ],
  [
    'lib/nest/graphql/guarded-driver.ts',
    'throw new ServiceAuthConfigError(problems)',
    'an entry takes out what asks for it',
  ],
  ['lib/nest/graphql/guarded-driver.ts', "return 'ws' in request", 'entries take out who asks'],
  [
    'lib/nest/user-lookup.ts',
    'throw new ServiceAuthConfigError(',
    'a problem of the options, which test/nest/module.spec.ts looks at',
  ],
  [
    'lib/replay/redis-commands.ts',
    "return ': call connect() of the client'",
    'the words of a reason',
  ],
  [
    'lib/core/grants/prove-subject.ts',
    "const originator = grants.originators.get(claims.issuer) ?? refuse('originator_unknown')",
    'cannot be: who verified the grant has asked it',
  ],
  [
    'lib/core/verify-request.ts',
    "(await settings.trustedIssuers.find(identity.issuer)) ?? refuse('issuer_unknown')",
    'cannot be for a listed issuer; one found at run time may be gone between two handlers',
  ],
  [
    'lib/nest/http/received-request.ts',
    'throw new ServiceAuthUsageError(',
    'cannot be: the guard names the route before it asks',
  ],
  [
    'lib/for-whom/stand-ins.ts',
    'throw new ServiceAuthUsageError(',
    'what the stand-ins throw with, and an entry takes those out',
  ],
  [
    'lib/core/request-shape.ts',
    'return fail(',
    'what readDigest throws with, and an entry takes that out',
  ],
  [
    'lib/core/request-shape.ts',
    'throw new ServiceAuthUsageError(',
    'what the checks above it throw with',
  ],
  ['lib/replay/memory-replay-store.ts', `return 'first';`, 'lets in, refuses nothing'],
  ['lib/replay/redis-replay-store.ts', `return 'first';`, 'lets in, refuses nothing'],
  ['lib/replay/redis-commands.ts', `return 'the client failed'`, 'words for the log'],
  [
    'lib/replay/redis-commands.ts',
    'this.assertSendable()',
    'entries take out what it refuses: no connection, too many commands',
  ],
  ['lib/replay/redis-replay-store.ts', 'assertConnected', 'about the start, not about a request'],
  [
    'lib/replay/redis-commands.ts',
    "throw new ServiceAuthUnavailableError('replay_store_unavailable', {",
    'the one of the start; that of a request has an entry',
  ],
  [
    'lib/replay/memory-replay-store.ts',
    'this.assertRoomFor(',
    'entries take out what it refuses: a full store, a share',
  ],
  [
    'lib/replay/memory-replay-store.ts',
    `throw new ServiceAuthUnavailableError('replay_store_unavailable', { detail });`,
    'throws what its callers decide, and those have entries',
  ],
  [
    'lib/replay/redis-replay-store.ts',
    'Redis tells no time',
    'then no number is near enough either, and the next line refuses',
  ],
  [
    'lib/replay/redis-commands.ts',
    'throw new Error(`fewer than ${count}',
    'of an option that is off unless given; tested with RF-05',
  ],
];
