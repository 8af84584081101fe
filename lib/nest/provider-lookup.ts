import type { Type } from '@nestjs/common';
import type { ModuleRef } from '@nestjs/core';

/** Whether `new` takes a function. An abstract class of the application has nothing else that tells it. */
export function isClass(fn: object): boolean {
  return typeof Reflect.get(fn, 'prototype') === 'object';
}

/**
 * The one instance of a class that was written into the options: the provider of whichever module has
 * it, or else one built from what `moduleRef`'s module sees.
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
