import type { Type } from '@nestjs/common';
import type { ModuleRef } from '@nestjs/core';

/** Whether a function can be called with `new`. Nothing else identifies an abstract class of the application. */
export function isClass(fn: object): boolean {
  return typeof Reflect.get(fn, 'prototype') === 'object';
}

/**
 * The one instance of a class in the options: the provider of any module, or else an instance built from the
 * providers visible to `moduleRef`'s module.
 */
export async function instanceOf<T extends object>(
  type: Type<T>,
  moduleRef: ModuleRef,
): Promise<T> {
  try {
    return moduleRef.get<T>(type, { strict: false });
  } catch {
    return await moduleRef.create<T>(type);
  }
}
