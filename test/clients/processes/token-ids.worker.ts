// Signs `count` requests, one as another, and answers with the ids of their tokens.
import { parentPort, workerData } from 'node:worker_threads';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { decodeClaims } from '../../support/tokens/forge.js';

const { privateKey, count } = workerData as { privateKey: string; count: number };
const CENSUS = 'https://census.service/';

const herald = await createServiceAuth({
  issuer: 'https://herald.service/',
  signingKey: { privateKey },
  targets: [{ baseUrl: CENSUS }],
});
const request = { method: 'GET', url: CENSUS, headers: {}, body: new Uint8Array() };
const tokenIds: string[] = [];
for (let left = count; left > 0; left--) {
  tokenIds.push(String(decodeClaims((await herald.sign(request)) ?? '')['jti']));
}
herald.close();
parentPort?.postMessage(tokenIds);
