import type { InjectionToken } from '@nestjs/common';

/** What the testing kit needs of Nest's `TestingModuleBuilder`. */
export interface ProviderOverrides<Builder> {
  /** Begins to replace the provider with this token. */
  overrideProvider(token: InjectionToken): {
    /** Replaces it by a value. */
    useValue(value: unknown): Builder;
    /** Replaces it by what a factory makes. */
    useFactory(options: ProviderFactory): Builder;
  };
}

/** How a replacement is made of other providers. */
export interface ProviderFactory {
  /** Makes the replacement of the providers that `inject` names, in their order. */
  readonly factory: (...parts: never[]) => unknown;
  readonly inject?: InjectionToken[];
}
