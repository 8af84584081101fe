import { isArrayBuffer } from 'node:util/types';
import { ServiceSigningError } from '../core/index.js';
import type { AxiosLikeConfig, AxiosLikeHeaders } from './axios-config.js';
import { isByteStream, readStream } from './stream-bytes.js';

/**
 * The bytes of the body to send, copied so that later changes have no effect; undefined if there is no body. Also
 * sets the headers that describe the body.
 *
 * A body that can be read only once is also replaced on the configuration, so that a retry finds the bytes.
 *
 * @returns a promise for anything but text and no body
 * @throws ServiceSigningError `body_unsupported`, `body_too_large`, by the promise
 */
export function freezeBody(
  config: AxiosLikeConfig,
  maxBytes: number,
): Buffer | undefined | Promise<Buffer> {
  const { data } = config;
  if (data === undefined || data === null || data === '') return undefined;
  if (typeof data === 'string') return Buffer.from(data, 'utf8');
  return replaceBody(config, maxBytes);
}

async function replaceBody(config: AxiosLikeConfig, maxBytes: number): Promise<Buffer> {
  const bytes = await readBytes(config.data, config, maxBytes);
  config.data = bytes;
  return bytes;
}

async function readBytes(
  data: unknown,
  config: AxiosLikeConfig,
  maxBytes: number,
): Promise<Buffer> {
  if (typeof data !== 'object' || data === null) return refuseBody(typeof data);
  if (isArrayBuffer(data)) return Buffer.from(new Uint8Array(data));
  if (ArrayBuffer.isView(data)) return copyOf(data);
  if (data instanceof Blob) return await readBlob(data, config.headers);
  if (data instanceof FormData) return await readForm(data, config.headers);
  if (!isByteStream(data)) return refuseBody('object');
  if (isFormPackage(data)) describeForm(data, config);
  return await whileWanted(config, async (stop) => await readStream(data, maxBytes, stop));
}

function refuseBody(detail: string): never {
  throw new ServiceSigningError('body_unsupported', { detail });
}

function copyOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(new Uint8Array(buffer, byteOffset, byteLength));
}

async function readBlob(blob: Blob, headers: AxiosLikeHeaders): Promise<Buffer> {
  if (blob.size > 0) headers.set('content-type', blob.type || 'application/octet-stream');
  return Buffer.from(await blob.arrayBuffer());
}

/** Serialised once, so that the boundary between the parts is fixed before signing. */
async function readForm(form: FormData, headers: AxiosLikeHeaders): Promise<Buffer> {
  const serialised = new Response(form);
  headers.set('content-type', serialised.headers.get('content-type') ?? 'multipart/form-data');
  return Buffer.from(await serialised.arrayBuffer());
}

interface FormPackage {
  getHeaders(): Record<string, string>;
}

/** The npm package form-data, whose stream has its own headers. */
function isFormPackage(data: object): data is FormPackage {
  const has = (name: string): boolean => typeof Reflect.get(data, name) === 'function';
  return has('append') && has('getHeaders');
}

function describeForm(form: FormPackage, { headers, formDataHeaderPolicy }: AxiosLikeConfig): void {
  for (const [name, value] of Object.entries(form.getHeaders())) {
    const describesContent = name.toLowerCase() === 'content-type';
    if (describesContent || formDataHeaderPolicy !== 'content-only') headers.set(name, value);
  }
}

/** Stops reading if the caller cancels, or `timeout` passes: axios itself checks only when it sends. */
async function whileWanted<T>(
  { signal, cancelToken, timeout }: AxiosLikeConfig,
  read: (stop: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  const stopLate = (): void => controller.abort(notReadIn(timeout));
  const timer = timeout ? setTimeout(stopLate, timeout) : undefined;
  signal?.addEventListener?.('abort', stop);
  cancelToken?.subscribe(stop);
  try {
    return await read(controller.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener?.('abort', stop);
    cancelToken?.unsubscribe?.(stop);
  }
}

function notReadIn(timeout: number | undefined): ServiceSigningError {
  const detail = `its stream did not end within the timeout of ${timeout} ms`;
  return new ServiceSigningError('body_unsupported', { detail });
}
