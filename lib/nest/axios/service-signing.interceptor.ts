import { HttpService } from '@nestjs/axios';
import { Inject, Injectable, Optional } from '@nestjs/common';
import type { AxiosAdapter, AxiosStatic } from 'axios';
import { createSigningAdapter, signingOf, type SigningParts } from '../../clients/axios.js';
import type { AxiosLikeConfig } from '../../clients/axios-config.js';
import { createSlot, ServiceAuthUsageError } from '../../core/index.js';
import { isNamed, subjectIn, withKnownGrant } from '../../for-whom/call-decision.js';
import { CALL_SUBJECT } from '../../for-whom/call-options.js';
import { FixedSubject } from '../../for-whom/fixed-subject.js';
import { NamedSubject, undecided } from '../../for-whom/named-subject.js';
import { ServiceCallContext } from '../../for-whom/service-call.context.js';
import { givenFor, READ_BY_FETCH } from '../../for-whom/stand-ins.js';
import { ServiceAuth } from '../../service-auth.js';
import { missingServiceAuth } from '../missing-service-auth.js';
import { IS_ATTACHED } from '../unsigned-clients.warning.js';
import { refuseWaiting } from './waiting-callers.js';

type AdapterConfig = Parameters<AxiosAdapter>[0];

const ABSOLUTE_URL = /^https?:\/\//i;

/** Axios as @nestjs/axios types it. Version 4 uses the CommonJS types, which are different. */
type NestAxiosInstance = HttpService['axiosRef'];
type NestAxios = NestAxiosInstance & Pick<AxiosStatic, 'Axios' | 'getAdapter'>;

/**
 * The copy of axios that @nestjs/axios uses. `import axios from 'axios'` may give another copy (ES module or
 * CommonJS), and one copy does not recognise the headers of the other.
 */
export function axiosOfNest(): NestAxios {
  return new HttpService().axiosRef as NestAxios;
}

/** The interceptor of an axios instance, and the service that signs its calls: the last one that attached. */
interface Attached {
  signer: ServiceSigningInterceptor;
  readonly watch: (config: AdapterConfig) => AdapterConfig;
}

const ATTACHED = createSlot<Attached>();

/** Makes an `HttpService` sign its requests to the configured targets. */
@Injectable()
export class ServiceSigningInterceptor {
  private readonly axios = axiosOfNest();

  /**
   * Optional, so that this library reports what is missing.
   *
   * @internal
   */
  constructor(
    @Optional() @Inject(ServiceAuth) private readonly givenAuth: ServiceAuth | undefined,
    @Optional()
    @Inject(ServiceCallContext)
    private readonly givenContext: ServiceCallContext | undefined,
  ) {}

  /**
   * Not in the constructor: with wrong options Nest does not create the service, and reports that itself.
   *
   * @internal
   * @throws ServiceAuthUsageError if no ServiceAuthModule is imported
   */
  onModuleInit(): void {
    this.assertGiven();
  }

  private assertGiven(): { serviceAuth: ServiceAuth; callContext: ServiceCallContext } {
    const { givenAuth: serviceAuth, givenContext: callContext } = this;
    if (!serviceAuth || !callContext) throw missingServiceAuth('ServiceHttpModule');
    return { serviceAuth, callContext };
  }

  private get serviceAuth(): ServiceAuth {
    return this.assertGiven().serviceAuth;
  }

  private get callContext(): ServiceCallContext {
    return this.assertGiven().callContext;
  }

  /**
   * From now on this `HttpService` signs every request to a configured target, and refuses other requests unless
   * `unknownTargets` is `send-unsigned`. Attaching twice signs once. If two services attach, the last one signs.
   * After that one is closed, calls fail (`service_closed`) instead of leaving unsigned.
   *
   * It replaces only the adapter, so signing comes after every interceptor and transformation. One interceptor can
   * bypass it: one registered before that returns a new configuration. Other axios instances are not affected. But
   * the `HttpService` of a plain `HttpModule` is axios's default instance, which the whole process shares.
   *
   * Answers and errors of a signed request do not contain the token, nor do logs of them. Their configuration is the
   * caller's, and their `request` is not enumerable and does not have the token. Axios still shows what the caller
   * gave, including the body. Until the request is sent, the token is in three places: the configuration for an
   * adapter of the caller, hidden members of Node's request, and a dispatcher of the caller that queues for `fetch`.
   *
   * The token is made when axios passes the request to the adapter. An agent with `maxSockets` may then queue the
   * call for longer than the token lives: the receiver refuses it, and a retry is signed again. A `timeout` below
   * that lifetime ends such calls before they are sent.
   *
   * The call of the method decides the user, even if the Observable is subscribed to later. Each subscription
   * compares the user again.
   *
   * @returns the same `HttpService`
   */
  attach(httpService: HttpService): HttpService {
    const instance = httpService.axiosRef;
    if (!this.givenAuth) return refusing(httpService);
    instance.defaults.adapter = this.signing(instance, instance.defaults.adapter);
    const attached = ATTACHED.get(instance);
    // One interceptor for each instance, even if several services attach in turn.
    if (attached && isWatched(instance, attached)) attached.signer = this;
    else watchCalls(instance, this);
    fixSubjects(httpService);
    return httpService;
  }

  /**
   * The configuration of a call that is created now, with its subject.
   *
   * @internal
   */
  fixed(instance: NestAxiosInstance, config: object | undefined): object | undefined {
    const mark: unknown = config && Reflect.get(config, CALL_SUBJECT);
    if (mark instanceof FixedSubject) {
      return { ...config, [CALL_SUBJECT]: this.callContext.attempt(mark) };
    }
    if (mark === undefined) {
      // A user among the defaults of the client stays.
      return isNamed(instance.defaults)
        ? config
        : { ...config, [CALL_SUBJECT]: this.callContext.fix() };
    }
    const named = { ...config, [CALL_SUBJECT]: this.known(mark) };
    const standIn = givenFor(Reflect.get(named, 'adapter'));
    if (standIn === undefined) return named;
    // Here, so that it also signs after all interceptors have been removed.
    const given = standIn.value as AdapterConfig['adapter'];
    return { ...named, adapter: this.signing(instance, given ?? instance.defaults.adapter) };
  }

  /**
   * Fixes the user of a call that begins now, or compares it if the call is repeated.
   *
   * @internal
   */
  begin(instance: NestAxiosInstance, config: AdapterConfig): void {
    const mark: unknown = Reflect.get(config, CALL_SUBJECT);
    if (mark === undefined) Reflect.set(config, CALL_SUBJECT, this.callContext.fix());
    if (mark instanceof FixedSubject) {
      Reflect.set(config, CALL_SUBJECT, this.callContext.attempt(mark));
    }
    if (mark instanceof NamedSubject) Reflect.set(config, CALL_SUBJECT, this.known(mark));
    // Before any interceptor, which may wrap the adapter, or ask it for the user.
    this.signAtLast(instance, config);
    for (const name of READ_BY_FETCH) {
      if (givenFor(Reflect.get(config, name))) Reflect.deleteProperty(config, name);
    }
  }

  /** For a user named by URI, adds the grant that is known when the method of the client is called. */
  private known(mark: unknown): unknown {
    return mark instanceof NamedSubject ? withKnownGrant(mark, this.callContext) : mark;
  }

  /**
   * Signs a call at its last step: a request may have its own adapter, and interceptors may set one.
   *
   * @internal
   */
  signAtLast(instance: NestAxiosInstance, config: AdapterConfig): void {
    const standIn = givenFor(config.adapter);
    const own = standIn ? (standIn.value as AdapterConfig['adapter']) : config.adapter;
    config.adapter = this.signing(instance, own ?? instance.defaults.adapter);
  }

  private signing(
    instance: NestAxiosInstance,
    adapter: AdapterConfig['adapter'],
  ): AdapterConfig['adapter'] {
    const standIn = givenFor(adapter);
    if (standIn) return this.signing(instance, standIn.value as AdapterConfig['adapter']);
    const present = signingOf(adapter);
    if (present?.owner === this.serviceAuth) return adapter;
    const plain = withoutSigning(adapter);
    const inner: AxiosAdapter = (config) => {
      const sender = plain ?? withoutSigning(this.axios.defaults.adapter);
      return this.axios.getAdapter(sender, config)(config);
    };
    return createSigningAdapter<AdapterConfig & AxiosLikeConfig, Awaited<ReturnType<AxiosAdapter>>>(
      inner,
      this.partsFor(instance),
    ) as AxiosAdapter;
  }

  private partsFor(instance: NestAxiosInstance): SigningParts<AdapterConfig & AxiosLikeConfig> {
    const uriBuilder = new this.axios.Axios({});
    return {
      signer: this.serviceAuth,
      getUri: (config) => {
        const { url, baseURL, allowAbsoluteUrls, paramsSerializer } = config;
        const params = config.params as unknown;
        // Axios copies all it is given: so it gets nothing if the URL is complete, and otherwise only the parts of
        // the URL.
        if (url !== undefined && !baseURL && !params && ABSOLUTE_URL.test(url)) return url;
        return uriBuilder.getUri({ url, baseURL, allowAbsoluteUrls, paramsSerializer, params });
      },
      subjectOf: (config) => {
        const subject = subjectIn(config, this.serviceAuth.settings);
        if (subject === undefined) throw undecided('lost');
        return subject;
      },
      noteFailure: (error, config) => refuseWaiting(instance, config, error),
    };
  }
}

/** The application fails to start. Calls before that must not leave unsigned. */
function refusing(httpService: HttpService): HttpService {
  httpService.axiosRef.interceptors.request.use(() => {
    throw missingServiceAuth('ServiceHttpModule');
  });
  return httpService;
}

/** An instance inherits the adapter of its parent, which may sign for another service. */
function withoutSigning(adapter: AdapterConfig['adapter']): AdapterConfig['adapter'] {
  const present = signingOf(adapter);
  return present ? (present.inner as AxiosAdapter) : adapter;
}

/** Whether the interceptor is still registered: the application may have cleared all interceptors. */
function isWatched({ interceptors }: NestAxiosInstance, { watch }: Attached): boolean {
  return interceptors.request.handlers?.some((handler) => handler?.fulfilled === watch) ?? true;
}

function watchCalls(instance: NestAxiosInstance, signer: ServiceSigningInterceptor): void {
  const signAtLast = function (this: AdapterConfig, data: unknown): unknown {
    attached.signer.signAtLast(instance, this);
    return data;
  };
  const watch = (config: AdapterConfig): AdapterConfig => {
    attached.signer.signAtLast(instance, config);
    // Later interceptors may set an adapter too; transformations run after all of them.
    const others = [config.transformRequest ?? []].flat().filter((fn) => fn !== signAtLast);
    config.transformRequest = [...others, signAtLast];
    return config;
  };
  const attached: Attached = { signer, watch };
  ATTACHED.set(instance, attached);
  // Axios calls this within the method call, before any interceptor runs.
  const runWhen = (config: AdapterConfig): true => {
    attached.signer.begin(instance, config);
    return true;
  };
  // Synchronous, so that synchronous interceptors stay synchronous.
  instance.interceptors.request.use(watch, undefined, { synchronous: true, runWhen });
}

/** The method with which @nestjs/axios makes each Observable, when a method of the client is called. */
interface ObservableMaker {
  makeObservable(axios: unknown, ...args: unknown[]): unknown;
}

/** @throws ServiceAuthUsageError for an `HttpService` that makes its Observables in another way */
function fixSubjects(httpService: HttpService): void {
  if (IS_ATTACHED.get(httpService)) return;
  if (!makesObservables(httpService)) {
    throw new ServiceAuthUsageError(
      'This version of @nestjs/axios has no HttpService.makeObservable: for whom a call is made cannot be decided when it is created.',
    );
  }
  IS_ATTACHED.set(httpService, true);
  const make = httpService.makeObservable;
  const makeFixed: ObservableMaker['makeObservable'] = (axios, ...args) => {
    const { axiosRef } = httpService;
    const config = args.at(-1) as object | undefined;
    const fixed = ATTACHED.get(axiosRef)?.signer.fixed(axiosRef, config);
    return make.call(httpService, axios, ...args.with(-1, fixed ?? config));
  };
  // Not enumerable, like the method that it replaces.
  Object.defineProperty(httpService, 'makeObservable', {
    value: makeFixed,
    configurable: true,
    writable: true,
  });
}

function makesObservables(httpService: object): httpService is HttpService & ObservableMaker {
  return typeof Reflect.get(httpService, 'makeObservable') === 'function';
}
