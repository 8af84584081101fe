/** RFC 3986, so ASCII only: headers carry it too. No credentials, query, fragment or pattern. */
const SERVICE_URI =
  /^https?:\/\/[A-Za-z0-9._~!$&'()+,;=:[\]%-]+(?:\/[A-Za-z0-9._~!$&'()+,;=:@%/-]*)?$/;
/** Far more than a name needs, but small enough to keep for many issuers. */
const MAX_SERVICE_URI_LENGTH = 1024;

/** Whether a text can be the name of a service, in the options and so in trusted tokens. */
export function isServiceUri(uri: string): boolean {
  return uri.length <= MAX_SERVICE_URI_LENGTH && SERVICE_URI.test(uri) && URL.canParse(uri);
}

/** Parses a URL; undefined if the text is not a URL. `URL.canParse` of Node 20 is wrong about some texts. */
export function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}
