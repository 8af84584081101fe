// Why each code is answered, and what to do: the hand-written half of docs/errors.md. A code that is
// missing here, or too much, is a type error.

/**
 * @typedef {import('nestjs-service-auth/core').RefusalCode} RefusalCode
 * @typedef {import('nestjs-service-auth/core').SigningFailureCode} SigningFailureCode
 * @typedef {{ readonly cause: string, readonly remedy: string }} Explanation
 */

/** What a status means for whoever has to act, in the order of the page. */
export const STATUSES = /** @type {const} */ ([
  [401, 'No token, or one that proves nothing here', 'The caller must change something.'],
  [
    403,
    'The token is good, and policy says no',
    'Either side may have to change its configuration.',
  ],
  [415, 'The bytes of the body are missing', 'The receiver decides what bodies it takes.'],
  [
    431,
    'The header list may have been cut off',
    'The caller must send fewer headers, or the receiver must keep more.',
  ],
  [
    503,
    'This service cannot decide',
    'Nothing is wrong with the request: the operators of the receiver must act. The answer carries `Retry-After`.',
  ],
]);

/** @type {Readonly<Record<RefusalCode, Explanation>>} */
export const REFUSAL_CAUSES = {
  headers_unverifiable: {
    cause:
      'The request has so many headers that Node may have cut the list off: 1,000, unless `maxHeadersCount` of the server says otherwise.',
    remedy:
      'Send fewer headers. A service that needs more raises `maxHeadersCount` of its HTTP server.',
  },
  token_missing: {
    cause:
      'The request has no `JWT` header, or an empty one. The call was made with an HTTP client that does not sign, or a proxy dropped the header.',
    remedy:
      'Send with a client that signs: import `ServiceHttpModule` in place of `HttpModule`. If the caller does sign, let the proxy pass the `JWT` header. A route that is open to everybody is marked with `@SkipServiceAuth()`.',
  },
  token_repeated: {
    cause: 'There are two `JWT` headers, or two tokens in one, joined by a comma.',
    remedy:
      'Sign in one place only. Look for a middleware or proxy that copies the headers of the request being served to the call being made.',
  },
  token_malformed: {
    cause:
      'The header does not hold one compact JWS in canonical base64url, whose two first parts are JSON objects without duplicate members. Often it is cut off, quoted, padded, or has `Bearer ` in front.',
    remedy: 'Send the token alone, byte for byte as it was made.',
  },
  token_too_large: {
    cause: 'The token is longer than 8192 characters.',
    remedy: 'Put less into it: further claims and long bound headers are what makes tokens grow.',
  },
  header_invalid: {
    cause:
      'The JOSE header has another form than the profile asks for: a strict token has `alg`, `kid` and `typ` (`svc+jwt`), and nothing else.',
    remedy:
      "Clients in other languages: set `typ` to `svc+jwt`, and leave out `jku`, `jwk`, `x5c` and `crit`. A peer that speaks the original format is trusted with `profile: 'original'`.",
  },
  algorithm_refused: {
    cause:
      "The token's `alg` does not exist here (`none`, `HS256`), or is not the algorithm of the key it names.",
    remedy:
      'Sign with the algorithm of the key. If the receiver lists `algorithms` for this issuer, add it there.',
  },
  issuer_unknown: {
    cause:
      "The token's `iss` is not in the receiver's `trustedIssuers`. URIs are compared byte for byte.",
    remedy:
      'Add the issuer, or correct its spelling: a final slash, `http:` for `https:`, and upper case all count.',
  },
  key_unknown: {
    cause:
      'The issuer is trusted, and has no key with the `kid` of the token: it signs with a key it has not published, or the receiver has another public key for it.',
    remedy:
      "Compare the token's `kid` with the caller's `/.well-known/jwks.json`. After a rotation, publish before you sign: see [keys](keys.md#rotation).",
  },
  key_unavailable: {
    cause:
      "The receiver needs the issuer's keys and cannot fetch them. It has just started, or the key server is down for longer than `maxStaleSeconds`.",
    remedy:
      'Make the key URL reachable from the receiver: see [keys](keys.md#when-a-key-server-is-down).',
  },
  signature_invalid: {
    cause:
      'The signature is not one of the named key: another private key signed under the same `kid`, or the token was changed.',
    remedy:
      'Give every key its own `kid`. In other languages, an ECDSA signature is the 64 bytes of r and s (for P-256), not DER.',
  },
  claim_missing: {
    cause:
      'A claim that the profile requires is not there: `iss`, `aud`, `iat`, `exp`, `jti` and `req`, and `bdy` when the request has a body.',
    remedy: 'Add it: see [the protocol](protocol.md#claims). The log at debug level names it.',
  },
  claim_invalid: {
    cause: 'A claim has the wrong type or form, such as `aud` as an array, or `exp` as a string.',
    remedy: 'Correct it: see [the protocol](protocol.md#claims). The log at debug level names it.',
  },
  token_expired: {
    cause:
      'The token is older than its lifetime, 60 seconds unless the caller says otherwise: it waited in a queue, the upload took longer, or the clocks differ.',
    remedy:
      'Sign immediately before sending, and again for every retry. Set the clocks by NTP. For slow uploads raise `tokenLifetimeSeconds` (at most 300).',
  },
  token_not_yet_valid: {
    cause: "The caller's clock is ahead by more than `clockToleranceSeconds`.",
    remedy: 'Set the clocks by NTP. The tolerance can be raised to 60 seconds.',
  },
  lifetime_too_long: {
    cause:
      'There are more seconds between `iat` and `exp` than the receiver takes, 300 by default. An original token with `jti` and without `iat`: its `exp` is more than an hour from now.',
    remedy:
      'Sign for a shorter time. The receiver can raise `maxTokenLifetimeSeconds`, and must then remember used tokens for longer. Original tokens: lower `exp`, or leave out `jti`.',
  },
  audience_mismatch: {
    cause: "The token's `aud` is not a name of this service: its `issuer`, or one in `audience`.",
    remedy:
      "Let the caller's target name the receiver's URI, byte for byte: `{ baseUrl, audience }`. If the receiver has a second name, list it in `audience`.",
  },
  request_mismatch: {
    cause:
      'The method or the request target differs from the signed one. Nearly always something between the two rewrites the path or the query.',
    remedy:
      'Find the rewriting: see [gateways](gateways.md). For a stripped prefix set `publicPathPrefix`. The target is compared byte for byte, so encoding, a final slash and the order of the query count.',
  },
  header_mismatch: {
    cause:
      'A bound header has another value than was signed, or one that must be bound is not: Content-Type, Content-Encoding and Content-Range for a body, and those in `requiredHeaders`. A caller that was not updated does not bind Content-Encoding.',
    remedy:
      'Do not let a proxy change bound headers. [Update callers first](migration.md#to-a-token-that-binds-content-encoding). Let the caller list what the receiver requires in `signedHeaders`.',
  },
  body_mismatch: {
    cause: 'The bytes of the body are not those that were signed.',
    remedy:
      'Sign the final bytes, after every serialiser and compression, and let no proxy change them. See [bodies](bodies.md).',
  },
  body_unverifiable: {
    cause:
      'The body is larger than the receiver takes (413), or its end never arrived or it came under a transfer coding besides `chunked` (415), or there is no room on disk for it now (503).',
    remedy:
      'See [bodies](bodies.md): `@MaxBodyBytes()` on the route for uploads, `maxBufferedBodyBytes` for other large bodies.',
  },
  body_consumed: {
    cause:
      'Something read the body before the guard could: a parser that is registered before the module, a platform that reads requests itself, or a parser that is still reading.',
    remedy:
      'Register parsers after `NestFactory.create()`, or hand over the bytes that the platform kept with the option `rawBody`. See [bodies](bodies.md).',
  },
  token_replayed: {
    cause:
      'A token with this `iss` and `jti` was accepted before: a retry sent the same token again, or somebody replays a recorded request.',
    remedy:
      'Sign every attempt anew. Turn off retries in proxies for signed requests. Two processes that use one key must not share a source of token ids.',
  },
  replay_store_unavailable: {
    cause: 'The replay store does not answer in time, or is full.',
    remedy:
      'Bring Redis back, or raise `maxEntries` of the memory store. If the clock was put back, wait or restart the service. The log says which: see [replay](replay.md).',
  },
  issuer_not_allowed: {
    cause: 'The caller is trusted, and this route names others with `@AllowIssuers()`.',
    remedy: 'Add the caller to the list of the route. A list of the class must allow it too.',
  },
  subject_missing: {
    cause:
      'The route asks for a user, with `@ServiceSubject()` or `@RequireSubject()`, and the caller acts for itself.',
    remedy:
      'Call on behalf of a user: `onBehalfOf(subject)`. If the route can do without, write `@ServiceSubject({ optional: true })`.',
  },
  subject_not_allowed: {
    cause:
      "The user's URI begins with none of the `subjects` of this issuer, or has a dot segment in some spelling (`/../`, `/..;x/`, `%252e`).",
    remedy: 'Add the prefix, if this service is to speak for such users.',
  },
  subject_unknown: {
    cause: 'The `userResolver` of the receiver knows no such user.',
    remedy: 'Compare the URI that the caller names with those that the receiver resolves.',
  },
  context_unsupported: {
    cause:
      'The guard stands before something that is not HTTP: a WebSocket, RPC or GraphQL handler.',
    remedy: 'Guard these with a guard of their own, and use `ServiceJwtGuard` for HTTP.',
  },
};

/** @type {Readonly<Record<SigningFailureCode, Explanation>>} */
export const SIGNING_CAUSES = {
  target_unknown: {
    cause: 'The URL of the call lies under no `baseUrl` of `targets`.',
    remedy:
      "Add the service to `targets`. For calls to others use an HTTP client that is not signed, or set `unknownTargets: 'send-unsigned'`.",
  },
  target_invalid: {
    cause:
      'The URL is relative, has another scheme than `http:` or `https:`, or contains credentials.',
    remedy: 'Write an absolute URL, or give `baseURL` to the client.',
  },
  sending_disabled: {
    cause: 'The service has no `signingKey`.',
    remedy: 'Give it one, or call with an HTTP client that is not signed.',
  },
  subject_undecided: {
    cause:
      "The call names no user. With `subjectPropagation: 'explicit'`, the default, a call in a request must name one too. With `'ambient'`, the call is made outside of a verified request, after its answer, or in the turn of another request. The message ends with the reason.",
    remedy:
      "Name the user: `onBehalfOf(caller)` in the call, with `@ServiceCaller() caller` in the handler, or `actingAsItself()`. For several calls, write `runOnBehalfOf(caller, fn)` around them. For jobs that no request started, a service whose calls are all its own sets `subjectOutsideRequest: 'act-as-itself'`.",
  },
  service_closed: {
    cause: 'The application has shut down: `close()` has ended this `ServiceAuth`.',
    remedy:
      'Stop jobs, timers and queues when the application shuts down, in `onModuleDestroy()` or `beforeApplicationShutdown()`. A test that closes an application makes its next calls with those of a new one.',
  },
  subject_invalid: {
    cause:
      'The subject is no absolute URI, is longer than 1024 characters, or has characters or a scheme that are refused.',
    remedy: 'Name users by URIs, such as `https://census.service/user/21/`.',
  },
  subject_required: {
    cause: "The target is written with `profile: 'original'`, whose tokens always name a user.",
    remedy: 'Call on behalf of a user, or move the target to the strict profile.',
  },
  header_unsignable: {
    cause: 'A header in `signedHeaders` has two values, or characters that no header carries.',
    remedy: 'Send it once, in visible ASCII.',
  },
  request_too_long: {
    cause: 'The path with its query is too long to sign.',
    remedy: 'Move what is long into the body.',
  },
  token_too_large: {
    cause:
      'The signed token would not be accepted anywhere. Long values of `signedHeaders` are the usual reason.',
    remedy: 'Bind fewer or shorter headers.',
  },
  body_unsupported: {
    cause:
      'What is sent depends on something that is known only while it is sent, as with a body that the client itself would serialise in its own way.',
    remedy:
      'Give the client a string, bytes, an object it serialises as JSON, a form, or a stream.',
  },
  body_too_large: {
    cause: 'A stream is read into memory to be signed, and is longer than the limit.',
    remedy: 'Raise `maxBufferedBodyBytes`, or send the file in parts.',
  },
};
