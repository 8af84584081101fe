import { freezeRequest, type FrozenRequest } from '../../lib/clients/fetch-body.js';
import { readCall } from '../../lib/clients/fetch-call.js';
import { freezePlainCall } from '../../lib/clients/fetch-plain-call.js';

const URL_TEXT = 'https://census.service/user/';
const BYTES = new Uint8Array([0, 1, 128, 255]);
const FORM = new URLSearchParams({ name: 'Ann Smith', city: 'Zürich' });
const transferred = Uint8Array.from(BYTES);
structuredClone(transferred, { transfer: [transferred.buffer] });
const resizable = new Uint8Array(
  Reflect.construct(ArrayBuffer, [4, { maxByteLength: 8 }]) as ArrayBuffer,
);
const sharedBytes = new Uint8Array(new SharedArrayBuffer(2));

const shown = (frozen: FrozenRequest | undefined): unknown =>
  frozen && {
    ...frozen,
    headers: [...frozen.headers],
    body: frozen.body && [...frozen.body],
  };

describe('a call that fetch understands in one way only', () => {
  it.each<[string, RequestInit | undefined]>([
    ['nothing but a URL', undefined],
    ['nothing said', {}],
    ['GET', { method: 'GET', headers: { Accept: 'application/json' } }],
    ['GET in small letters', { method: 'get' }],
    ['HEAD', { method: 'HEAD' }],
    ['a body that is null', { method: 'GET', body: null }],
    ['POST without a body', { method: 'POST' }],
    ['OPTIONS', { method: 'OPTIONS' }],
    ['text', { method: 'POST', body: 'text' }],
    ['no text', { method: 'POST', body: '' }],
    ['text beyond ASCII', { method: 'PUT', body: 'Zürich \u{1f511}' }],
    ['half a character', { method: 'PUT', body: 'a\ud800b' }],
    ['JSON', { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json' } }],
    ['no type', { method: 'POST', body: '{}', headers: { 'content-type': '' } }],
    ['a form', { method: 'PATCH', body: FORM }],
    ['a form of another type', { method: 'PATCH', body: FORM, headers: [['content-type', 'x/y']] }],
    ['bytes', { method: 'POST', body: BYTES }],
    ['a part of bytes', { method: 'DELETE', body: BYTES.subarray(1, 3) }],
    ['a header twice', { headers: [['x-a', '1'] as [string, string], ['X-A', '2']] }],
    ['headers', { headers: new Headers({ 'x-a': ' 1 ' }) }],
    ['redirects as errors', { redirect: 'error' }],
    ['redirects by hand', { redirect: 'manual' }],
    ['a signal', { signal: new AbortController().signal }],
  ])('becomes what fetch makes of it: %s', async (_title, init) => {
    const call = readCall(URL_TEXT, init);
    const plain = freezePlainCall(call);
    expect(plain).toBeDefined();
    expect(shown(plain)).toEqual(shown(await freezeRequest(call, 1024, undefined)));
  });

  it('has a body that nobody can change any more', () => {
    const body = Uint8Array.from(BYTES);
    const plain = freezePlainCall(readCall(URL_TEXT, { method: 'POST', body }));
    body.fill(7);
    expect([...(plain?.body ?? [])]).toEqual([...BYTES]);
  });

  it.each<[string, unknown, unknown]>([
    ['a request', new Request(URL_TEXT), {}],
    ['GET with a body', URL_TEXT, { body: 'x' }],
    ['HEAD with a body', URL_TEXT, { method: 'HEAD', body: 'x' }],
    ['a method that is none', URL_TEXT, { method: 'PO ST' }],
    ['a method that fetch refuses', URL_TEXT, { method: 'TRACE' }],
    ['a method of one’s own', URL_TEXT, { method: 'PURGE' }],
    ['a redirect of another word', URL_TEXT, { redirect: 'never' }],
    ['a member more', URL_TEXT, { cache: 'no-store' }],
    ['a member nobody knows', URL_TEXT, { agent: {} }],
    ['a stream', URL_TEXT, { method: 'POST', body: new ReadableStream(), duplex: 'half' }],
    ['a Blob', URL_TEXT, { method: 'POST', body: new Blob(['x']) }],
    ['a form with files', URL_TEXT, { method: 'POST', body: new FormData() }],
    ['an ArrayBuffer', URL_TEXT, { method: 'POST', body: new ArrayBuffer(1) }],
    ['words of two bytes', URL_TEXT, { method: 'POST', body: new Uint16Array(1) }],
    ['bytes that others write to', URL_TEXT, { method: 'POST', body: sharedBytes }],
    ['no bytes', URL_TEXT, { method: 'POST', body: new Uint8Array() }],
    ['bytes that were transferred', URL_TEXT, { method: 'POST', body: transferred }],
    ['bytes that may be cut off', URL_TEXT, { method: 'POST', body: resizable }],
    ['a number', URL_TEXT, { method: 'POST', body: 5 }],
  ])('is not: %s', (_title, input, init) => {
    expect(freezePlainCall(readCall(input, init))).toBeUndefined();
  });

  it('cannot have headers that cannot be sent', () => {
    const call = readCall(URL_TEXT, { headers: { 'x-a': '1\n2' } });
    expect(() => freezePlainCall(call)).toThrow(/is an invalid header value/);
  });
});
