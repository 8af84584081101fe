/** RFC 3986, so ASCII alone: it also stands in a header. No credentials, query, fragment or pattern. */
const SERVICE_URI =
  /^https?:\/\/[A-Za-z0-9._~!$&'()+,;=:[\]%-]+(?:\/[A-Za-z0-9._~!$&'()+,;=:@%/-]*)?$/;
/** Far more than a name needs, and little enough to be kept for each of many issuers. */
const MAX_SERVICE_URI_LENGTH = 1024;

/** Whether this can be the name of a service, in the options and so in the tokens that are trusted. */
export function isServiceUri(uri: string): boolean {
  return uri.length <= MAX_SERVICE_URI_LENGTH && SERVICE_URI.test(uri) && URL.canParse(uri);
}

/** Parses a URL of any characters; undefined where it is none. `URL.canParse` of Node 20 is wrong about some. */
export function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}
