/** Every status that refuses a request: its name, and what it means for the caller. */
export const STATUSES = {
  401: {
    name: 'Unauthorized',
    meaning: 'There is no service token, or one that proves nothing here.',
    who: 'The caller must change something.',
  },
  403: {
    name: 'Forbidden',
    meaning: 'The service token is good, and policy says no.',
    who: 'Either side may have to change its configuration.',
  },
  413: {
    name: 'Payload Too Large',
    meaning: 'The body is larger than this service takes in to verify it.',
    who: 'The receiver decides what bodies it takes.',
  },
  415: {
    name: 'Unsupported Media Type',
    meaning: 'The bytes of the body are missing here, so this service cannot verify them.',
    who: 'The receiver decides what bodies it takes.',
  },
  431: {
    name: 'Request Header Fields Too Large',
    meaning: 'The request has more headers than this service can verify.',
    who: 'The caller must send fewer headers, or the receiver must keep more.',
  },
  503: {
    name: 'Service Unavailable',
    meaning:
      'This service cannot decide at the moment. The request may be sent again, with a new token.',
    who: 'Nothing is wrong with the request: the operators of the receiver must act. The answer carries `Retry-After`.',
  },
} as const;

/** A status that refuses a request. */
export type RefusalStatus = keyof typeof STATUSES;

/** The explanation of a code, for the log, the command line and the documentation. */
interface Explanation {
  /** One fixed sentence. For a refusal it is the only text that the caller reads. */
  readonly message: string;
  /** Why it happens. */
  readonly cause: string;
  /** What to do. */
  readonly hint: string;
  /** The page with more about it, such as `keys.md#rotation`. */
  readonly page?: string;
}

/** One refusal: its status, and its explanation. */
interface Refusal<Status extends RefusalStatus = RefusalStatus> extends Explanation {
  /** What to do, for the receiver's log. Rows have it if their `hint` is too long for one line. */
  readonly logHint?: string;
  /** What to do about a message or a job, for the receiver's log. Rows have it if the others speak of HTTP. */
  readonly messageHint?: string;
  readonly status: Status;
  /** Other statuses that answer the same code. */
  readonly otherStatuses?: readonly RefusalStatus[];
  /** Whether it refuses messages and jobs alone. No HTTP request gets it. */
  readonly isOfMessages?: true;
}

const REFUSAL_ROWS = {
  headers_unverifiable: {
    status: 431,
    message: 'The request has more headers than this service can verify.',
    cause:
      'The request has so many headers that Node may have cut the list off: 1,000, unless `maxHeadersCount` of the HTTP server says otherwise.',
    hint: 'Send fewer headers, and look for a proxy that adds some. A service that needs more raises `maxHeadersCount` of its HTTP server.',
    logHint: 'Look for a proxy that adds headers.',
  },
  token_missing: {
    status: 401,
    message: 'A service token is required in the JWT header.',
    cause:
      'The request has no `JWT` header, or an empty one. The HTTP client does not sign, the target has another origin or path prefix than the URL of the call, or a proxy dropped the header. In a resolver of GraphQL: its endpoint verified no request.',
    hint: 'Send with a client that signs: import `ServiceHttpModule` in place of `HttpModule`. If the caller does sign, let the proxy pass the `JWT` header. Mark a route that is open to everybody with `@SkipServiceAuth()`. For GraphQL write `driver: guardedDriver(...)`.',
    logHint: 'Check that the caller signs, and that nothing on the way removes its token.',
    messageHint:
      'Check that the sender signs: its client is in `forClients()`, or its queue in `forQueues()`.',
  },
  token_repeated: {
    status: 401,
    message: 'More than one service token was sent.',
    cause: 'There are two `JWT` headers, or two tokens in one, joined by a comma.',
    hint: 'Sign in one place only. Look for a middleware or proxy that adds a second header, or copies the headers of the request being served to the call being made.',
    logHint: 'Look for a proxy or a retry that adds a second `JWT` header.',
    messageHint: 'Look for a client or a broker that adds a second token.',
  },
  token_malformed: {
    status: 401,
    message: 'The service token is not a well-formed compact JWT.',
    cause:
      'The header does not hold one compact JWS in canonical base64url, whose two first parts are JSON objects without duplicate members. Often it is cut off, quoted or padded, has `Bearer ` in front, or is a token of something else.',
    hint: 'Let the caller send the token alone, byte for byte as it was made.',
  },
  token_too_large: {
    status: 401,
    message: 'The service token is too large.',
    cause: 'The token is longer than 8192 characters.',
    hint: 'Let the caller put less into it: fewer and shorter headers in `signedHeaders`, and a shorter URL.',
  },
  header_invalid: {
    status: 401,
    message: 'The header of the service token is not acceptable.',
    cause:
      'The JOSE header has another form than the profile asks for: a strict token has `alg`, `kid` and `typ` (`svc+jwt`), and nothing else.',
    hint: "Make `profile` the same on both sides: trust a peer that speaks the original format with `profile: 'original'`. Clients in other languages set `typ` to `svc+jwt`, and leave out `jku`, `jwk`, `x5c` and `crit`.",
    logHint: 'Make `profile` the same on both sides.',
  },
  algorithm_refused: {
    status: 401,
    message: 'The algorithm of the service token is refused.',
    cause:
      "The token's `alg` does not exist here (`none`, `HS256`), or is not the algorithm of the key it names.",
    hint: 'Publish the key with the `alg` it signs with. If the receiver lists `algorithms` for this issuer, add it there.',
  },
  issuer_unknown: {
    status: 401,
    message: 'The issuer of the service token is not trusted here.',
    cause:
      "The token's `iss` is not in the receiver's `trustedIssuers`. The receiver compares URIs byte for byte.",
    hint: 'Write the issuer in the same way on both sides (slash, `http:` and upper case count), or add it to `trustedIssuers` of the receiver.',
    logHint:
      'Write it in the same way on both sides (the final slash counts), or add it to trustedIssuers.',
  },
  key_unknown: {
    status: 401,
    message: 'The key of the service token is not known for its issuer.',
    cause:
      'The issuer is trusted, and has no key with the `kid` of the token, or the token names none. The caller signs with a key it has not published, or the receiver has another public key for it.',
    hint: "Compare the token's `kid` with the caller's `/.well-known/jwks.json`. After a rotation, publish the new key and wait until receivers have fetched it (`maxAgeSeconds`), then sign with it.",
    logHint:
      'Publish the new key of the caller, or add it to its `keys` here. Until then let the caller sign with its previous key.',
    page: 'keys.md#rotation',
  },
  key_unavailable: {
    status: 503,
    message: 'The keys of the issuer are not available at the moment.',
    cause:
      "The receiver needs the issuer's keys and cannot fetch them. It has just started, or the key server is down for longer than `maxStaleSeconds`. The log of the receiver says why.",
    hint: 'Make the key URL reachable from the receiver, over `https:`, and send the request again.',
    messageHint: 'Make the key URL reachable from this service, over `https:`.',
    page: 'keys.md#when-a-key-server-is-down',
  },
  signature_invalid: {
    status: 401,
    message: 'The signature of the service token is invalid.',
    cause:
      'The signature is not one of the named key: another private key signed under the same `kid`, somebody else signed in the name of the caller, or the token was changed.',
    hint: 'Give every key its own `kid`, and compare `nestjs-service-auth jwks <key file>` with what the receiver fetches. In other languages, an ECDSA signature is the 64 bytes of r and s (for P-256), not DER.',
    logHint:
      'If the caller has a new key, give it its own key id and publish it or add it here, or let the caller use its previous key.',
  },
  claim_missing: {
    status: 401,
    message: 'The service token lacks a required claim.',
    cause:
      'The profile requires a claim that the token lacks. Strict tokens need `iss`, `aud`, `iat`, `exp`, `jti` and `req`, original ones `iss`, `aud` and `sub`, and both `bdy` when the request has a body.',
    hint: 'Add the claim: the log of the receiver names it at debug level, and so does `nestjs-service-auth inspect`. Check that `profile` is the same on both sides.',
    logHint: 'Make `profile` the same on both sides, or add the claim in the client of the caller.',
    page: 'protocol.md#claims',
  },
  claim_invalid: {
    status: 401,
    message: 'A claim of the service token is not acceptable.',
    cause:
      'A claim has the wrong type or form, such as `aud` as an array, `exp` as a string, or a `sub` that is no absolute URI.',
    hint: 'Correct the claim: the log of the receiver names it at debug level, and so does `nestjs-service-auth inspect`.',
    logHint: 'Correct the claim in the client of the caller.',
    page: 'protocol.md#claims',
  },
  token_expired: {
    status: 401,
    message: 'The service token has expired.',
    cause:
      'The token is older than its lifetime, 60 seconds unless the caller says otherwise: it waited in a queue, the upload took longer, or the clocks differ. The log says by how many seconds.',
    hint: 'Sign immediately before sending, and again for every retry. Set the clocks by NTP (`nestjs-service-auth doctor` compares them). For slow uploads raise `tokenLifetimeSeconds` (at most 300).',
    logHint:
      'If this number stays equal, the clocks differ: check NTP on both hosts. If not, the caller reuses a token, or the request waited.',
    messageHint:
      'If this number stays equal, the clocks differ: check NTP on both hosts. If not, it waited for longer than `messageLifetimeSeconds` or `jobLifetimeSeconds` of the sender.',
  },
  token_not_yet_valid: {
    status: 401,
    message: 'The service token is not valid yet.',
    cause: "The caller's clock is ahead by more than `clockToleranceSeconds`.",
    hint: 'Set the clocks by NTP (`nestjs-service-auth doctor` compares them). The receiver can raise the tolerance to 60 seconds.',
  },
  lifetime_too_long: {
    status: 401,
    message: 'The lifetime of the service token is too long.',
    cause:
      'There are more seconds between `iat` and `exp` than the receiver takes, 300 by default. An original token with `jti` and without `iat`: its `exp` is more than an hour from now.',
    hint: 'Lower `tokenLifetimeSeconds` of the caller. The receiver can raise `maxTokenLifetimeSeconds`, and must then remember used tokens for longer. Original tokens: lower `exp`, or leave out `jti`.',
    logHint: 'Lower `tokenLifetimeSeconds` of the caller, or raise `maxTokenLifetimeSeconds` here.',
    messageHint:
      'Lower `messageLifetimeSeconds` or `jobLifetimeSeconds` of the sender, or raise `maxMessageLifetimeSeconds` here.',
  },
  audience_mismatch: {
    status: 401,
    message: 'The service token is meant for another service.',
    cause: "The token's `aud` is not a name of this service: its `issuer`, or one in `audience`.",
    hint: "Set `audience` of the caller's target (`--audience` on the command line) to the receiver's URI, byte for byte. If the receiver has a second name, list it in its `audience`.",
    logHint:
      "Set `audience` of the caller's target (its `baseUrl` by default), or add the name to `audience` of this service.",
    messageHint:
      'Set `audience` in `forClients()` or `forQueues()` of the sender, or add the name to `audience` of this service.',
  },
  request_mismatch: {
    status: 401,
    message: 'The service token was made for another request.',
    cause:
      'The method or the request target differs from the signed one. Nearly always something between the two rewrites the path or the query, or a client sent the request again elsewhere.',
    hint: 'Find what rewrites the request. For a stripped prefix set `publicPathPrefix` of the receiver. It compares the target byte for byte, so encoding, a final slash and the order of the query count.',
    logHint:
      "Look for a gateway that changes path or query. If it strips a prefix, set `publicPathPrefix: '/<prefix>'` in this service.",
    messageHint:
      'Look for code that sends it to another pattern, or moves or renames the job, after the signing.',
    page: 'gateways.md',
  },
  header_mismatch: {
    status: 401,
    message: 'The service token was made for other headers.',
    cause:
      'A bound header has another value than was signed, or one that must be bound is not: Content-Type, Content-Encoding and Content-Range for a body, and those in `requiredHeaders`. A caller that was not updated does not bind Content-Encoding.',
    hint: 'Do not let a proxy change bound headers; the log names the header. Update callers before receivers. Let the caller list what the receiver requires in `signedHeaders` (`--sign-header` on the command line).',
    logHint: 'Look for a proxy, or a client after the signing, that changes the header.',
    page: 'migration.md#to-a-token-that-binds-content-encoding',
  },
  body_mismatch: {
    status: 401,
    message: 'The service token was made for another body.',
    cause: 'The bytes of the body are not those that were signed.',
    hint: 'Look for a proxy, a serialiser or a compression that changes the body after it is signed.',
    messageHint: 'Look for a serializer, or for code that changes the data after the signing.',
    page: 'bodies.md',
  },
  body_unverifiable: {
    status: 415,
    otherStatuses: [413, 503],
    message: 'The body of the request cannot be verified.',
    cause:
      'The body is larger than the receiver takes (413), its end never arrived or it came under a transfer coding besides `chunked` (415), or the disk of the receiver has no room for it now (503).',
    hint: 'Send the whole body without a transfer coding. Put `@MaxBodyBytes()` on the route for uploads, or raise `maxBufferedBodyBytes` for other large bodies.',
    logHint: 'Compare the size of the body with the limits of the route, or send it whole.',
    messageHint:
      "Let the sender send plain JSON data. Messages with `bodies: 'raw'` need RabbitMQ or MQTT.",
    page: 'bodies.md',
  },
  body_consumed: {
    status: 415,
    message: 'The body of the request was read before it could be verified.',
    cause:
      'Something at the receiver read the body before the guard could: a parser that is registered before the module, a platform that reads requests itself, or a parser that is still reading.',
    hint: 'Register parsers after `NestFactory.create()`, or hand over the bytes that the platform kept with the option `rawBody`.',
    logHint: 'Register the module before whatever reads the body, or set `rawBody`.',
    page: 'bodies.md#what-reads-the-body-before-the-guard',
  },
  token_replayed: {
    status: 401,
    message: 'The service token was used before.',
    cause:
      'A token with this `iss` and `jti` was accepted before: a retry sent the same token again, or somebody replays a recorded request.',
    hint: 'Sign every attempt anew: retry through the signing client. Turn off retries in proxies for signed requests. Two processes that use one key must not share a source of token ids.',
    logHint:
      'A proxy or a client repeats the request, or the caller uses one token for many requests. Each attempt needs its own token.',
    messageHint:
      'The sender, or a tool of the broker, sends it again. Each attempt needs its own token.',
  },
  replay_store_unavailable: {
    status: 503,
    message: 'It cannot be decided at the moment whether the service token was used before.',
    cause:
      'The replay store does not answer in time, it is full, the caller has used up its share of it, or the clock was put back. The log says which.',
    hint: 'Bring Redis back (`nestjs-service-auth doctor` tries it), or raise `maxEntries` of the memory store. If the clock was put back, wait or restart the service.',
    logHint: 'Check the replay store.',
    page: 'replay.md',
  },
  message_busy: {
    status: 503,
    isOfMessages: true,
    message: 'Another delivery of this message is being handled.',
    cause:
      'The broker has delivered a message or job again while its first delivery is still handled: by a process that lives, or by one that has died and whose lease is not over.',
    hint: 'Nothing, as a rule: the broker delivers it again. Where it stays so, give handlers that take long a longer `leaseSeconds`, and look for processes that stop without closing.',
    logHint: 'The broker delivers it again. A longer `leaseSeconds` suits handlers that take long.',
    page: 'messages.md',
  },
  issuer_not_allowed: {
    status: 403,
    message: 'This service may not call this route.',
    cause: 'The caller is trusted, and this route names others with `@AllowIssuers()`.',
    hint: 'Add the caller to `@AllowIssuers()` of the route and of its class, if it may call the route.',
  },
  subject_missing: {
    status: 403,
    message: 'This route needs a user to act for.',
    cause:
      'The route asks for a user, with `@ServiceSubject()` or `@RequireSubject()`, and the caller acts for itself.',
    hint: 'Call on behalf of a user: `onBehalfOf(subject)`, or `--as <subject>` on the command line. If the route can do without, write `@ServiceSubject({ optional: true })`.',
    logHint: 'Let the caller name its user with `onBehalfOf(...)`.',
  },
  subject_not_allowed: {
    status: 403,
    message: 'This service may not speak for this user.',
    cause:
      "The user's URI begins with none of the `subjects` of this issuer, or has a dot segment in some spelling (`/../`, `/..;x/`, `%252e`).",
    hint: 'Add the prefix to `subjects` of the issuer at the receiver, if this caller may speak for such users.',
  },
  grant_missing: {
    status: 403,
    message: 'This service requires proof that the user asked.',
    cause:
      'The token names a user, and neither the token nor the request has a grant of that user. The caller does not send grants on, a service between it and the originator does not, or the user never came.',
    hint: 'Let the service that authenticates the user make a grant (`originate`), name the verified caller in each call on the way (`onBehalfOf(caller)`), and set `trustDomain` in each service that sends it on. A worker needs a grant that was made for it.',
    logHint: 'Let every service on the way send on the grant of the user.',
    page: 'grants.md',
  },
  grant_repeated: {
    status: 403,
    message: 'More than one grant was sent.',
    cause: 'There are two `Txn-Token` headers, or two grants in one, joined by a comma.',
    hint: 'Look for a middleware or proxy that copies the headers of the request being served to the call being made.',
    logHint: 'Look for a proxy that adds a second `Txn-Token` header.',
    messageHint: 'Look for a client or a broker that adds a second grant.',
    page: 'grants.md',
  },
  grant_invalid: {
    status: 403,
    message: 'The grant is not acceptable.',
    cause:
      'The `Txn-Token` header does not hold a grant in the form of the protocol, or the signature is not that of its originator: another form, another `typ`, an unknown key, a lifetime over the limit.',
    hint: 'Compare the `kid` of the grant with the published keys of the originator. The log says which part is wrong.',
    logHint: 'Compare the grant with the published keys of its originator.',
    page: 'grants.md',
  },
  grant_mismatch: {
    status: 403,
    message: 'The grant was made for another user, call or environment.',
    cause:
      'The grant is of another user or trust domain, or the token was made for another grant: only one of the two has arrived, or it was exchanged on the way.',
    hint: 'Name the user of the request in the call. If the log says that one half is missing, let the gateway pass `Txn-Token`. Make `trustDomain` the same in all services of an environment.',
    logHint: 'Look for a gateway that drops `Txn-Token`, and compare `trustDomain` on both sides.',
    messageHint:
      'Let the sender name the verified caller with `onBehalfOf(caller)`, and compare `trustDomain` on both sides.',
    page: 'grants.md',
  },
  grant_expired: {
    status: 403,
    message: 'The grant has expired, or is too old for this route.',
    cause:
      "The `exp` of the grant has passed, or more time has passed since it was made than its caller's `subjectProof` and the route allow: 300 s unless both say more.",
    hint: 'For work that runs later, make the grant with a longer `lifetimeSeconds` at the edge, and allow its age both in `subjectProof: { maxAgeSeconds }` of the worker and in `@RequireSubjectProof({ maxAgeSeconds })` of the route.',
    logHint: 'Let the originator make the grant for longer, if this work may wait.',
    page: 'grants.md',
  },
  grant_not_yet_valid: {
    status: 403,
    message: 'The grant is not valid yet.',
    cause: 'The `iat` of the grant is in the future by more than `clockToleranceSeconds`.',
    hint: 'Compare the clocks of this service and of the originator, and check NTP on both.',
    page: 'grants.md',
  },
  originator_unknown: {
    status: 403,
    message: 'The originator of the grant may not vouch for users here.',
    cause:
      'The `iss` of the grant is not in the `originators` of the receiver, which compares URIs byte for byte.',
    hint: 'Add the originator there, or correct its spelling. A service that only calls makes no grants: it sends on the one it got.',
    logHint: 'Add the originator to `originators`, if it authenticates users.',
    page: 'grants.md',
  },
  originator_not_allowed: {
    status: 403,
    message: 'The originator of the grant may not vouch for this.',
    cause:
      "The user is outside of the originator's `subjects`, a scope of the grant is outside of its `scopes`, or the route names other originators.",
    hint: 'Widen its `subjects` or `scopes` in `originators`, if it authenticates these users.',
    logHint: 'Extend `subjects` or `scopes` of this originator, if it may vouch for them.',
    page: 'grants.md',
  },
  scope_missing: {
    status: 403,
    message: 'The grant lacks a scope that this route asks for.',
    cause:
      'The route has `@RequireSubjectProof({ scope })`, and the grant was made without that scope.',
    hint: 'Make the grant with that `scope` where the user asks for it. `user-present`, which is written when none is given, satisfies no route that asks for another.',
    logHint: 'Let the originator write this scope into the grant.',
    page: 'grants.md',
  },
  authentication_insufficient: {
    status: 403,
    message: 'The user has not authenticated as this route asks.',
    cause:
      'The route has `@RequireSubjectProof({ acr })`, and the grant says another `acr`, or none.',
    hint: 'Let the user authenticate again at the edge, and write its `acr` into the new grant.',
    logHint: 'Let the user authenticate again at the originator.',
    page: 'grants.md',
  },
  subject_unknown: {
    status: 403,
    message: 'The user is not known here.',
    cause: 'The `userResolver` of the receiver knows no such user.',
    hint: 'Compare the URI that the caller names, final slash included, with those that `userResolver` knows.',
  },
  context_unsupported: {
    status: 403,
    message: 'Service tokens are not supported here.',
    cause:
      'The guard protects a WebSocket, Kafka or gRPC handler, or a message handler in an application without `ServiceMessagesModule`.',
    hint: 'For messages over RabbitMQ, NATS, MQTT, Redis or TCP, import `ServiceMessagesModule` of `nestjs-service-auth/microservices`. Guard other handlers with a guard of their own.',
    logHint:
      'Import `ServiceMessagesModule` for messages. Guard other handlers with a guard of their own.',
  },
} satisfies Record<string, Refusal>;

/**
 * Every reason to refuse a request: code, status, cause, and what to do. The answers, the OpenAPI document, the
 * command line and the tables of the documentation are generated from this table.
 */
export const REFUSALS: {
  readonly [Code in keyof typeof REFUSAL_ROWS]: Refusal<(typeof REFUSAL_ROWS)[Code]['status']>;
} = REFUSAL_ROWS;

/** A stable code of a refused request. */
export type RefusalCode = keyof typeof REFUSALS;

/** The codes that always answer 503: this service cannot decide the request now. */
export type UnavailableCode = {
  [Code in RefusalCode]: (typeof REFUSALS)[Code]['status'] extends 503 ? Code : never;
}[RefusalCode];

const SIGNING_FAILURE_ROWS = {
  target_unknown: {
    message:
      'The URL belongs to no configured target. Correct the URL, or add it to `targets`. `unknownTargets: "send-unsigned"` would send it without a token.',
    cause: 'The URL of the call lies under no `baseUrl` of `targets`.',
    hint: "Correct the URL, or add the service to `targets`. For calls to others use an HTTP client that does not sign, or set `unknownTargets: 'send-unsigned'`, which sends them without a token.",
  },
  target_invalid: {
    message:
      'The URL is not an absolute http: or https: URL without credentials, so no audience can be told from it.',
    cause:
      'The URL is relative, has another scheme than `http:` or `https:`, or contains credentials.',
    hint: 'Write an absolute URL, or give `baseURL` to the client.',
  },
  sending_disabled: {
    message: 'This service has no `signingKey`, so it signs neither requests nor answers.',
    cause:
      'The service has no `signingKey`. A service whose `@MessagePattern` handlers are called with signed answers needs one too.',
    hint: "Give it one. Or call with an HTTP client that does not sign, and let callers of its messages write `answers: 'unsigned'`.",
  },
  subject_undecided: {
    message:
      'This call names no user. Name the user: onBehalfOf(user) in the call, runOnBehalfOf(user, fn) around it, or actingAsItself().',
    cause:
      "The call names no user. With `subjectPropagation: 'explicit'`, the default, a call in a request must name one too. With `'ambient'`, the call is made outside of a verified request, after its answer, or in the turn of another request. The message ends with the reason.",
    hint: "Name the user: `onBehalfOf(caller)` in the call, with `@ServiceCaller() caller` in the handler, or `actingAsItself()`. For several calls, write `runOnBehalfOf(caller, fn)` around them. For jobs that no request started, a service whose calls are all its own sets `subjectOutsideRequest: 'act-as-itself'`.",
    page: 'for-whom.md',
  },
  service_closed: {
    message: 'This service has shut down, so it signs nothing more.',
    cause: 'The application has shut down: `close()` has ended this `ServiceAuth`.',
    hint: 'Stop jobs, timers and queues when the application shuts down, in `onModuleDestroy()` or `beforeApplicationShutdown()`. A test that closes an application makes its next calls with those of a new one.',
  },
  subject_invalid: {
    message: 'The subject is not an absolute URI that a service token can carry.',
    cause:
      'The subject is no absolute URI, is longer than 1024 characters, or has characters or a scheme that are refused.',
    hint: 'Name users by URIs, such as `https://census.service/user/21/`.',
  },
  subject_required: {
    message: 'The target uses the `original` profile, in which every token names a subject.',
    cause: "The target is written with `profile: 'original'`, whose tokens always name a user.",
    hint: 'Call on behalf of a user, or move the target to the strict profile.',
  },
  header_unsignable: {
    message:
      'A header that is to be signed has several values, or characters that no header carries.',
    cause: 'A header in `signedHeaders` has two values, or characters that no header carries.',
    hint: 'Send it once, in visible ASCII.',
  },
  originate_refused: {
    message: 'No grant was made for this user.',
    cause:
      'This service has no `originate`, the user is outside of its `subjects`, the lifetime is over `maxLifetimeSeconds`, or the grant would not be one. Or the request being served came from another service: it has a grant of its own, or none, and then the user never came.',
    hint: "Make grants where the user authenticates. A service that was called sends on the grant it got: `onBehalfOf(caller)`. If this service has authenticated the user itself, write `insteadOf: 'served-grant'`.",
    page: 'grants.md',
  },
  grant_unusable: {
    message: 'This call needs a grant of its user, and there is none that can be used.',
    cause:
      "The grant is over, is another user's, or is no grant. Or the target is written with `grants: 'required'`, and the call has no grant.",
    hint: 'Name the verified caller in the call: `onBehalfOf(caller)`. For work that runs later, make the grant with a longer `lifetimeSeconds`.',
    page: 'grants.md',
  },
  request_too_long: {
    message: 'Method and request target together are longer than 4096 characters.',
    cause: 'The path with its query is too long to sign.',
    hint: 'Move what is long into the body.',
  },
  token_too_large: {
    message: 'The service token would be larger than 8192 characters.',
    cause:
      'No receiver would accept the signed token. Long values of `signedHeaders` are the usual reason.',
    hint: 'Bind fewer or shorter headers.',
  },
  body_unsupported: {
    message: 'The bytes of this body cannot be told before it is sent, so it cannot be signed.',
    cause:
      'What is sent depends on something that is known only while it is sent, as with a body that the client itself would serialise in its own way.',
    hint: 'Give the client a string, bytes, an object it serialises as JSON, a form, or a stream.',
  },
  message_unsignable: {
    message: 'The data of this message cannot be signed.',
    cause:
      'The data is no JSON value: undefined, a function, a BigInt, bytes, an object that holds itself, or it is too deep or too large. A client of a broker with a `serializer` of its own sends other data than was signed.',
    hint: 'Send plain data: objects, arrays, text, numbers, booleans and null. Write bytes as base64 text.',
    page: 'messages.md',
  },
  method_unsignable: {
    message:
      'SEND, EMIT and JOB are words of messages, so no HTTP request with such a method is signed.',
    cause: 'The method of the request is one of the words that tokens of messages begin with.',
    hint: 'Use a method of HTTP.',
  },
  body_too_large: {
    message: 'The streamed body is larger than `maxBufferedBodyBytes`, so it cannot be signed.',
    cause: 'A stream is read into memory to be signed, and is longer than the limit.',
    hint: 'Raise `maxBufferedBodyBytes`, or send the file in parts.',
  },
} satisfies Record<string, Explanation>;

/** Why this service did not sign and send a request, message or job: code, cause, and what to do. */
export const SIGNING_FAILURES: {
  readonly [Code in keyof typeof SIGNING_FAILURE_ROWS]: Explanation;
} = SIGNING_FAILURE_ROWS;

/** A stable code of {@link SIGNING_FAILURES}. */
export type SigningFailureCode = keyof typeof SIGNING_FAILURES;

const ANSWER_FAILURE_ROWS = {
  answer_unsigned: {
    message: 'The answer to the message is not signed.',
    cause:
      'Somebody else than the called service answered, or the called service cannot sign: it has no `signingKey`, does not guard this handler, or its guard refused the message. What the answer says of that proves nothing.',
    hint: "Give the called service a `signingKey` and `ServiceMessagesModule`. Look at its log for a refusal. A service that cannot sign answers is called with `answers: 'unsigned'`.",
    page: 'messages.md#answers',
  },
  answer_invalid: {
    message: 'The signature of the answer, or the form of its token, is not acceptable.',
    cause:
      'The answer was not signed with a known key of the called service, or it was changed on the way.',
    hint: 'Compare `keys` or `jwksUri` of the client in `forClients()` with the published keys of the called service.',
    page: 'messages.md#answers',
  },
  answer_mismatch: {
    message: 'The answer was made for another message, or a part of it is missing.',
    cause:
      'The answer is of another service or to another message, one of several answers is missing, came twice or out of order, or something followed the last one.',
    hint: 'Look for a client of the broker that copies or drops answers.',
    page: 'messages.md#answers',
  },
} satisfies Record<string, Explanation>;

/** Why the answer to a message was not believed: code, why, and what to do. */
export const ANSWER_FAILURES: {
  readonly [Code in keyof typeof ANSWER_FAILURE_ROWS]: Explanation;
} = ANSWER_FAILURE_ROWS;

/** A stable code of {@link ANSWER_FAILURES}. */
export type AnswerFailureCode = keyof typeof ANSWER_FAILURES;

/** What a developer has to correct: the message of the error has the particulars. */
export const SETUP_ERRORS: Readonly<Record<'config_error' | 'usage_error', Explanation>> = {
  config_error: {
    message: 'Service auth is not configured correctly.',
    cause: 'The options are wrong. A `ServiceAuthConfigError` lists every problem in `problems`.',
    hint: 'Correct each: the message lists them as `field: what to write`.',
  },
  usage_error: {
    message: 'Service auth is used where it cannot work.',
    cause: 'A `ServiceAuthUsageError` says what the application lacks.',
    hint: 'Add what the message names.',
  },
};

/** Whether a value is the code of a refusal. */
export function isRefusalCode(value: unknown): value is RefusalCode {
  return typeof value === 'string' && Object.hasOwn(REFUSALS, value);
}
