import type { InjectionToken } from '@nestjs/common';

/** What the testing kit needs of Nest's `TestingModuleBuilder`. */
export interface ProviderOverrides<Builder> {
  overrideProvider(token: InjectionToken): {
    useValue(value: unknown): Builder;
    useFactory(options: ProviderFactory): Builder;
  };
}

/** How a replacement is made of other providers. */
export interface ProviderFactory {
  readonly factory: (...parts: never[]) => unknown;
  readonly inject?: InjectionToken[];
}
