import type { DocumentBuilder } from '@nestjs/swagger';

/** The name of the security scheme in a document, to which operations refer. */
export const SERVICE_AUTH_SCHEME = 'service-jwt';

/** The scheme itself. @see OpenAPI 3.0.3 section 4.7.27 */
export const SECURITY_SCHEME = {
  type: 'apiKey',
  in: 'header',
  name: 'JWT',
  description: [
    'A JWT that the calling service signs for this one request: `iss` is the caller, `aud` this service,',
    '`sub` the user it calls for, `req` method and target, `bdy` the digest of the body.',
    'It is accepted once, and for a minute or so, so that services sign each request as they send it.',
  ].join(' '),
} as const;

/**
 * Adds the security scheme to a document builder, for operations with `@ApiServiceAuth()`.
 * `createServiceAuthDocument()` adds it by itself.
 */
export function addServiceAuth(builder: DocumentBuilder): DocumentBuilder {
  return builder.addSecurity(SERVICE_AUTH_SCHEME, SECURITY_SCHEME);
}
