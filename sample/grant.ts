import { readEnvironment } from './setup/environment.js';
import { isUserUri } from './setup/services.js';
import { grantFor } from './story/signed-request.js';
import { OPERATOR } from './story/story.js';

/** Prints a grant as Edge makes it, for clients in other languages. It lives for 5 minutes. */
const [, , user = OPERATOR] = process.argv;
if (isUserUri(user)) console.log(await grantFor(user, readEnvironment(process.env).keys));
else {
  console.error('Write the URI of a census user, or nothing: then it is the operator.');
  process.exitCode = 1;
}
