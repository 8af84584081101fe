import { ForbiddenException } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';

const HEADERS = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/**
 * Lets nobody in but the page itself. A name that somebody points at 127.0.0.1 (DNS rebinding) is not
 * one of ours, and another site that makes the browser post here (CSRF) says so in `Origin`.
 *
 * @param port where the page listens
 */
export function visitorsOnly(port: () => number) {
  return (request: Request, response: Response, next: NextFunction): void => {
    const host = request.headers.host ?? '';
    response.set(HEADERS);
    if (!isOwnHost(host, port())) {
      next(new ForbiddenException('Host: this page has another address.'));
    } else if (!isReading(request) && request.headers.origin !== `http://${host}`) {
      next(new ForbiddenException('Origin: only the page itself may ask for this.'));
    } else next();
  };
}

function isOwnHost(host: string, port: number): boolean {
  return host === `127.0.0.1:${port}` || host === `localhost:${port}`;
}

function isReading({ method }: Request): boolean {
  return method === 'GET' || method === 'HEAD';
}
