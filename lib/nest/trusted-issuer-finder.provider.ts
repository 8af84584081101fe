import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import {
  ServiceAuthConfigError,
  type TrustedIssuerFinder,
  type TrustedIssuerOptions,
} from '../core/index.js';
import { instanceOf } from './provider-lookup.js';
import { MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import type { ServiceAuthModuleOptions } from './service-auth.options.js';

/**
 * Stands for a finder that the options name by its class. The settings need an object before every
 * provider is there, so the class is looked up, or built, when the application starts.
 */
@Injectable()
export class TrustedIssuerFinderProvider implements TrustedIssuerFinder, OnModuleInit {
  private finder: TrustedIssuerFinder | undefined;

  constructor(
    @Inject(MODULE_OPTIONS_TOKEN) private readonly options: ServiceAuthModuleOptions,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
  ) {}

  async onModuleInit(): Promise<void> {
    const { trustedIssuers } = this.options;
    if (typeof trustedIssuers !== 'function') return;
    this.finder = await instanceOf(trustedIssuers, this.moduleRef);
    if (typeof Reflect.get(this.finder, 'find') === 'function') return;
    throw new ServiceAuthConfigError(['trustedIssuers: write a class with a method find']);
  }

  async find(issuer: string): Promise<TrustedIssuerOptions | null | undefined> {
    if (!this.finder) throw new Error('The application has not been initialised.');
    return await this.finder.find(issuer);
  }
}
