/** A token taken apart for show. Nothing in it is verified. */
export interface TokenParts {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
  /** As it is in the HTTP header. */
  readonly text: string;
}

/** @param text a token that this sample has made, tampered with or not */
export function readToken(text: string): TokenParts {
  const [header, claims] = text.split('.', 2).map(readObject);
  return { header: header ?? {}, claims: claims ?? {}, text };
}

/** The same token with other members in its JOSE header or claims. The signature stays as it was. */
export function rewriteToken(
  text: string,
  { header = {}, claims = {} }: Partial<Omit<TokenParts, 'text'>>,
): string {
  const token = readToken(text);
  const parts = [
    { ...token.header, ...header },
    { ...token.claims, ...claims },
  ];
  const signature = text.slice(text.lastIndexOf('.'));
  return parts.map((part) => toBase64url(JSON.stringify(part))).join('.') + signature;
}

function readObject(part: string): Record<string, unknown> {
  return Object(JSON.parse(Buffer.from(part, 'base64url').toString())) as Record<string, unknown>;
}

function toBase64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}
