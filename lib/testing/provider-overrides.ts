import type { InjectionToken } from '@nestjs/common';

/** The methods of Nest's `TestingModuleBuilder` that the testing kit uses. */
export interface ProviderOverrides<Builder> {
  /** Begins to replace the provider with this token. */
  overrideProvider(token: InjectionToken): {
    /** Replaces it by a value. */
    useValue(value: unknown): Builder;
    /** Replaces it by the result of a factory. */
    useFactory(options: ProviderFactory): Builder;
  };
}

/** A factory of a replacement, made from other providers. */
export interface ProviderFactory {
  /** Creates the replacement from the providers in `inject`, in their order. */
  readonly factory: (...parts: never[]) => unknown;
  readonly inject?: InjectionToken[];
}
