import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import {
  ServiceAuthConfigError,
  type ServiceIdentity,
  ServiceTokenRefusedError,
} from '../core/index.js';
import { ServiceCallContext } from '../for-whom/service-call.context.js';
import { instanceOf } from './provider-lookup.js';
import { MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import type { ServiceAuthModuleOptions, ServiceUserResolver } from './service-auth.options.js';

/** What to write in `userResolver`. */
export const RESOLVER = 'write a class or an object with a method resolveUser';

/** Finds the application's user for a verified identity, with the `userResolver` of the options. */
@Injectable()
export class UserLookup implements OnModuleInit {
  private resolver: ServiceUserResolver | undefined;
  /** A closure, so that a printed guard shows neither the application's container nor the options with the key. */
  private readonly findResolver: () => Promise<ServiceUserResolver | undefined>;

  constructor(
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
    @Inject(MODULE_OPTIONS_TOKEN) { userResolver }: ServiceAuthModuleOptions,
    @Inject(ModuleRef) moduleRef: ModuleRef,
  ) {
    this.findResolver = async () =>
      typeof userResolver === 'function' ? await instanceOf(userResolver, moduleRef) : userResolver;
  }

  /** @throws ServiceAuthConfigError if the `userResolver` has no method `resolveUser` */
  async onModuleInit(): Promise<void> {
    this.resolver = await this.findResolver();
    if (this.resolver === undefined) return;
    if (typeof Reflect.get(this.resolver, 'resolveUser') === 'function') return;
    throw new ServiceAuthConfigError([`userResolver: ${RESOLVER}`]);
  }

  /** Whether the options have a `userResolver`. Without one, `request.user` is not set. */
  get isConfigured(): boolean {
    return this.resolver !== undefined;
  }

  /**
   * The user of an identity; undefined if its caller acts for itself. Calls of the resolver itself are on behalf of
   * the user that it looks up.
   *
   * @throws ServiceTokenRefusedError `subject_unknown`, and what the resolver throws
   */
  async resolve(identity: ServiceIdentity): Promise<unknown> {
    const { subject } = identity;
    if (subject === undefined) return undefined;
    const user = await this.callContext.runOnBehalfOf(
      identity,
      async () => await this.resolver?.resolveUser(subject, identity),
    );
    if (user === null || user === undefined) throw new ServiceTokenRefusedError('subject_unknown');
    return user;
  }
}
