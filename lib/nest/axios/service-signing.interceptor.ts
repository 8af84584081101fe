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

/** Axios as @nestjs/axios types it: in version 4 that is the CommonJS one, whose types are others. */
type NestAxiosInstance = HttpService['axiosRef'];
type NestAxios = NestAxiosInstance & Pick<AxiosStatic, 'Axios' | 'getAdapter'>;

/**
 * The very axios that @nestjs/axios runs on. `import axios from 'axios'` may be another copy (ES
 * module here, CommonJS there), and one copy does not recognise the headers of the other.
 */
export function axiosOfNest(): NestAxios {
  return new HttpService().axiosRef as NestAxios;
}

/** What watches the calls of an axios instance, and which service signs them: the one that attached last. */
interface Attached {
  signer: ServiceSigningInterceptor;
  readonly watch: (config: AdapterConfig) => AdapterConfig;
}

const ATTACHED = createSlot<Attached>();

/** Makes an `HttpService` sign what it sends to the configured targets. */
@Injectable()
export class ServiceSigningInterceptor {
  private readonly axios = axiosOfNest();

  /**
   * Optional, so that their absence is told in our words.
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
   * Not in the constructor: where options are wrong, Nest leaves the service out, and reports that itself.
   *
   * @internal
   * @throws ServiceAuthUsageError where no ServiceAuthModule is imported
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
   * From now on every request of this `HttpService` to a configured target is signed, and others are
   * refused unless `unknownTargets` is `send-unsigned`. Attaching twice signs once. Where two services
   * attach, the last one signs; once that one is closed, calls are refused (`service_closed`), not sent unsigned.
   *
   * Only the adapter is swapped, so signing comes after every interceptor and transformation,
   * whenever they were registered; only an interceptor that was there before and hands on a
   * configuration made from nothing gets past it. Does not reach other axios instances; but the `HttpService` of a
   * bare `HttpModule` is axios's default instance, which the whole process shares.
   *
   * The token is in no answer and no error of a signed request, nor in anything one logs with them:
   * their configuration is the caller's, their `request` cannot be enumerated and is cleared of it.
   * What the caller gave, body and all, axios shows as ever. Until it is sent, a token is where it has
   * to be: in the configuration that an adapter of the caller's gets, in hidden members of Node's
   * request, and in a dispatcher of the caller's that queues for `fetch`.
   *
   * A token is made when axios hands the request over. Calls that an agent then keeps waiting for
   * longer than the token lives (`maxSockets`) are refused by the receiver, and a retry is signed anew;
   * a `timeout` below that lifetime ends them before they are sent.
   *
   * For whom a call is made is decided when its method is called, also for an Observable that is subscribed to later,
   * and compared each time that it is subscribed to.
   *
   * @returns the same `HttpService`
   */
  attach(httpService: HttpService): HttpService {
    const instance = httpService.axiosRef;
    if (!this.givenAuth) return refusing(httpService);
    instance.defaults.adapter = this.signing(instance, instance.defaults.adapter);
    const attached = ATTACHED.get(instance);
    // One interceptor for each instance, however many services attach one after the other.
    if (attached && isWatched(instance, attached)) attached.signer = this;
    else watchCalls(instance, this);
    fixSubjects(httpService);
    return httpService;
  }

  /**
   * The configuration of a call that is created here, with the subject that it is made for.
   *
   * @internal
   */
  fixed(instance: NestAxiosInstance, config: object | undefined): object | undefined {
    const mark: unknown = config && Reflect.get(config, CALL_SUBJECT);
    if (mark instanceof FixedSubject) {
      return { ...config, [CALL_SUBJECT]: this.callContext.attempt(mark) };
    }
    if (mark === undefined) {
      // Words among the defaults of the client are kept.
      return isNamed(instance.defaults)
        ? config
        : { ...config, [CALL_SUBJECT]: this.callContext.fix() };
    }
    const named = { ...config, [CALL_SUBJECT]: this.known(mark) };
    const standIn = givenFor(Reflect.get(named, 'adapter'));
    if (standIn === undefined) return named;
    // Here, so that it signs also where all interceptors have been removed.
    const given = standIn.value as AdapterConfig['adapter'];
    return { ...named, adapter: this.signing(instance, given ?? instance.defaults.adapter) };
  }

  /**
   * Fixes for whom a call is made that begins now, or compares it with where it is made again.
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
    // Before any interceptor, which may wrap the adapter that it finds, or ask it who signs.
    this.signAtLast(instance, config);
    for (const name of READ_BY_FETCH) {
      if (givenFor(Reflect.get(config, name))) Reflect.deleteProperty(config, name);
    }
  }

  /** A user who is named by URI gets the grant that is known where the method of the client is called. */
  private known(mark: unknown): unknown {
    return mark instanceof NamedSubject ? withKnownGrant(mark, this.callContext) : mark;
  }

  /**
   * Signs a call at its last step: a request may bring an adapter of its own, and interceptors may set one.
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
        // Axios copies whatever it gets: so it gets nothing where the URL is whole, and else what makes it.
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

/** The application does not start. What calls before that must not leave unsigned. */
function refusing(httpService: HttpService): HttpService {
  httpService.axiosRef.interceptors.request.use(() => {
    throw missingServiceAuth('ServiceHttpModule');
  });
  return httpService;
}

/** An instance inherits the adapter of the one it is made from, which may sign for another service. */
function withoutSigning(adapter: AdapterConfig['adapter']): AdapterConfig['adapter'] {
  const present = signingOf(adapter);
  return present ? (present.inner as AxiosAdapter) : adapter;
}

/** Whether the interceptor is still there: an application may have cleared all of them. */
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
    // Interceptors that run after this one may set an adapter too; transformations come after all of them.
    const others = [config.transformRequest ?? []].flat().filter((fn) => fn !== signAtLast);
    config.transformRequest = [...others, signAtLast];
    return config;
  };
  const attached: Attached = { signer, watch };
  ATTACHED.set(instance, attached);
  // Axios asks this while the method is called, so before any interceptor runs.
  const runWhen = (config: AdapterConfig): true => {
    attached.signer.begin(instance, config);
    return true;
  };
  // Synchronous, so that it does not make asynchronous the interceptors that are not.
  instance.interceptors.request.use(watch, undefined, { synchronous: true, runWhen });
}

/** What @nestjs/axios makes each Observable with, when the method of the client is called. */
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
  // Not enumerable, as the method that it stands for.
  Object.defineProperty(httpService, 'makeObservable', {
    value: makeFixed,
    configurable: true,
    writable: true,
  });
}

function makesObservables(httpService: object): httpService is HttpService & ObservableMaker {
  return typeof Reflect.get(httpService, 'makeObservable') === 'function';
}
