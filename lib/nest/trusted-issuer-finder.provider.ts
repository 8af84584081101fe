import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import {
  ServiceAuthConfigError,
  type TrustedIssuerFinder,
  type TrustedIssuerOptions,
} from '../core/index.js';
import { instanceOf, isClass } from './provider-lookup.js';
import { MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import type { ServiceAuthModuleOptions } from './service-auth.options.js';

const FINDER = 'trustedIssuers: write a class or an object with a method find';

/**
 * Represents a finder that the options name by its class. The settings need an object before every provider exists.
 * So the class is looked up, or built, when the application starts.
 */
@Injectable()
export class TrustedIssuerFinderProvider implements TrustedIssuerFinder, OnModuleInit {
  private finder: TrustedIssuerFinder | undefined;
  /** A closure, so that printed settings show neither the application's container nor the options with the key. */
  private readonly findFinder: () => Promise<TrustedIssuerFinder | undefined>;

  constructor(
    @Inject(MODULE_OPTIONS_TOKEN) options: ServiceAuthModuleOptions | undefined,
    @Inject(ModuleRef) moduleRef: ModuleRef,
  ) {
    // A factory may return no options, which ServiceAuth reports.
    const trustedIssuers = options?.trustedIssuers;
    this.findFinder = async () => {
      if (typeof trustedIssuers !== 'function') return undefined;
      if (!isClass(trustedIssuers)) throw new ServiceAuthConfigError([FINDER]);
      return await instanceOf(trustedIssuers, moduleRef);
    };
  }

  async onModuleInit(): Promise<void> {
    this.finder = await this.findFinder();
    if (this.finder === undefined) return;
    if (typeof Reflect.get(this.finder, 'find') === 'function') return;
    throw new ServiceAuthConfigError([FINDER]);
  }

  async find(issuer: string): Promise<TrustedIssuerOptions | null | undefined> {
    if (!this.finder) throw new Error('The application has not been initialised.');
    return await this.finder.find(issuer);
  }
}
