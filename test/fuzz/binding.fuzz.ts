import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { headerValues } from '../../lib/core/request.js';
import { readUnverifiedBodyHash } from '../../lib/core/unverified-body-hash.js';
import { bodyHashAlgorithmOf } from '../../lib/core/body-hash.js';
import { bindRequest, headersToBind } from '../../lib/core/request-binding.js';
import { bodyFrom } from '../../lib/core/request-shape.js';
import { readRequest, splitLine } from './request-text.js';

/** Input: a `bdy`, then on the lines below it a request. */
export async function fuzz(data: Uint8Array): Promise<void> {
  const [bdy, text] = splitLine(Buffer.from(data).toString('latin1'));
  const request = readRequest(text);
  readUnverifiedBodyHash(request.rawHeaders);
  const bindable = {
    ...request,
    body: bodyFrom(request.body),
    configuredHeaders: ['x-order'],
    headerValues: (name: string) => headerValues(request.rawHeaders, name),
  };
  const binding = bindRequest(bindable, headersToBind(bindable));
  assert.equal(binding.req, `${request.method} ${request.target}`);
  assert.deepEqual(binding.hdr, expectedHeaders(request.rawHeaders, request.body.length > 0));
  const algorithm = bodyHashAlgorithmOf(bdy);
  const isDigest = /^(?:[0-9a-f]{32}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/.test(bdy);
  assert.equal(algorithm !== undefined, isDigest);
  if (algorithm === undefined) return;
  const digest = await binding.bdy(algorithm);
  assert.equal(digest.length, bdy.length);
  assert.equal(digest, createHash(algorithm).update(request.body).digest('hex'));
}

function expectedHeaders(rawHeaders: readonly string[], hasBody: boolean): Record<string, string> {
  const bound: Record<string, string> = {};
  const describing = hasBody ? ['content-type', 'content-encoding', 'content-range'] : [];
  for (const name of [...describing, 'x-order']) {
    const at = rawHeaders.flatMap((each, index) =>
      index % 2 === 0 && each.toLowerCase() === name ? [index + 1] : [],
    );
    if (at.length === 1) bound[name] = rawHeaders[at[0] ?? 0] ?? '';
  }
  return bound;
}
