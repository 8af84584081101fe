import type { IncomingRequest } from 'nestjs-service-auth/core';

/** A request as a text: its request line, its headers, an empty line, its body. A byte for each character. */
export interface TextRequest extends IncomingRequest {
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

/** Takes the first line off a text. */
export function splitLine(text: string): [line: string, rest: string] {
  const at = text.indexOf('\n');
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** Reads the text of a request. Any text is one. */
export function readRequest(text: string): TextRequest {
  const [line, rest] = splitLine(text);
  const [method = '', ...target] = line.split(' ');
  const rawHeaders: string[] = [];
  let [header, remaining] = splitLine(rest);
  while (header !== '') {
    const [name = '', ...value] = header.split(':');
    rawHeaders.push(name, value.join(':').replace(/^[ \t]+|[ \t]+$/g, ''));
    [header, remaining] = splitLine(remaining);
  }
  const body = Buffer.from(remaining, 'latin1');
  return { method, target: target.join(' '), rawHeaders, body };
}
