// Which entry point loads axios: `.` and `./fetch` must not, `./axios` does.
import assert from 'node:assert/strict';
import { register } from 'node:module';

// Resolves as Node does, but for axios.
const hooks = `export async function resolve(name, context, next) {
  if (/^(@nestjs\\/)?axios(\\/|$)/.test(name)) throw new Error('axios is loaded');
  return await next(name, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

await assert.rejects(import('nestjs-service-auth/axios'), /axios is loaded/);
assert.equal(typeof (await import('nestjs-service-auth/core')).createServiceAuth, 'function');
assert.equal(typeof (await import('nestjs-service-auth')).ServiceAuthModule, 'function');
assert.equal(typeof (await import('nestjs-service-auth/fetch')).ServiceFetchModule, 'function');
