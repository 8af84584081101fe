// A service that prints every error it meets, in every way, and dies of the last one.
// Arguments: the URL of a server that answers as its path says, and one where no server is.
import { ConsoleLogger, Logger } from '@nestjs/common';
import type { AxiosAdapter, AxiosRequestConfig } from 'axios';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { axiosOfNest, heraldKey, SendingService } from '../../support/services/sending-service.js';
import { secretsOfKey } from '../../support/observed/traces.js';

const [answers = '', refused = ''] = process.argv.slice(2);

/** Tells the test what must not be printed. */
const keepSecret = (...secrets: string[]): void => void process.send?.(secrets);

/** Fails, and prints the failure as programs do. */
async function print(what: string, failing: Promise<unknown>): Promise<unknown> {
  const error = await failing.then(
    () => {
      throw new Error(`${what} did not fail`);
    },
    (thrown: unknown) => thrown,
  );
  console.error(what, error);
  console.error('%s %o %O %j', error, error, error, error);
  console.log(error);
  console.dir(error, { depth: 10, showHidden: true });
  console.error(String(error), JSON.stringify(error));
  new Logger(what).error(error);
  new Logger(what).error('failed', error);
  new ConsoleLogger({ json: true }).error(error);
  new ConsoleLogger({ json: true, compact: false }).warn({ error });
  process.emitWarning(error as Error);
  return error;
}

keepSecret(...secretsOfKey(heraldKey));
const herald = await SendingService.start([answers, refused], { maxBufferedBodyBytes: 8 });
const failures: readonly AxiosRequestConfig[] = [
  { url: `${answers}/401` },
  { url: `${answers}/503` },
  { url: `${answers}/reset` },
  { url: `${answers}/stalled`, timeout: 50 },
  { url: `${answers}/200`, maxContentLength: 1 },
  { url: refused },
];

let last: unknown;
for (const name of ['http', 'fetch'] as const) {
  const adapter: AxiosAdapter = async (config) => {
    keepSecret(...String(config.headers.get('JWT')).split('.'));
    return await axiosOfNest.getAdapter(name, config)(config);
  };
  for (const config of failures) {
    const sending = herald.send({ method: 'post', data: { a: 1 }, adapter, ...config });
    last = await print(`${name} ${config.url}`, sending);
  }
  const signing = {
    method: 'post',
    adapter,
    headers: { 'content-type': 'canary-of-the-header-ž' },
  };
  for (const [data, url] of [
    ['canary-of-the-body', `${answers}/200?canary-of-the-query`],
    [new Blob(['canary-of-the-stream']).stream(), `${answers}/200`],
    ['canary-of-the-body', 'https://unknown.service/?canary-of-the-query'],
    ['canary-of-the-body', 'https://canary:canary@unknown.service/'],
  ] as const) {
    await print(`signing ${name}`, herald.send({ ...signing, url, data }));
  }
}

const broken = heraldKey.privatePem.replace('PRIVATE', 'ENCRYPTED PRIVATE');
await print(
  'configuration',
  createServiceAuth({ issuer: 'x', signingKey: { privateKey: broken } }),
);

// For comparison: what is printed where nothing is kept secret.
const plain = axiosOfNest.create();
await print('plain', plain.get(`${answers}/401`, { headers: { JWT: 'shown-by-axios-alone' } }));

setImmediate(() => {
  throw last;
});
