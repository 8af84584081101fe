import { HttpService } from '@nestjs/axios';
import { Inject, Injectable } from '@nestjs/common';
import type { AxiosAdapter, AxiosStatic } from 'axios';
import { createSigningAdapter, signingOf, type SigningParts } from '../../clients/axios.js';
import type { AxiosLikeConfig } from '../../clients/axios-config.js';
import { subjectHere } from '../../clients/call-subject.js';
import { ServiceAuth } from '../../service-auth.js';
import { ServiceCallContext } from '../service-call.context.js';

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

/** Makes an `HttpService` sign what it sends to the configured targets. */
@Injectable()
export class ServiceSigningInterceptor {
  private readonly axios = axiosOfNest();
  private readonly attached = new WeakSet<NestAxiosInstance>();

  constructor(
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
  ) {}

  /**
   * From now on every request of this `HttpService` to a configured target is signed, and others are
   * refused unless `unknownTargets` is `send-unsigned`. Attaching twice signs once; where two services
   * attach, the last one signs.
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
   * @returns the same `HttpService`
   */
  attach(httpService: HttpService): HttpService {
    const instance = httpService.axiosRef;
    instance.defaults.adapter = this.signing(instance.defaults.adapter);
    if (!this.attached.has(instance)) this.watchAdapters(instance);
    this.attached.add(instance);
    return httpService;
  }

  /** A request may bring an adapter of its own, and the defaults may be changed after attaching. */
  private watchAdapters(instance: NestAxiosInstance): void {
    const sign = (config: AdapterConfig): void => {
      if (this.isSucceeded(instance)) return;
      config.adapter = this.signing(config.adapter ?? instance.defaults.adapter);
    };
    const signAtLast = function (this: AdapterConfig, data: unknown): unknown {
      sign(this);
      return data;
    };
    const watch = (config: AdapterConfig): AdapterConfig => {
      sign(config);
      // Interceptors that run after this one may set an adapter too; transformations come after all of them.
      const others = [config.transformRequest ?? []].flat().filter((fn) => fn !== signAtLast);
      config.transformRequest = [...others, signAtLast];
      return config;
    };
    // Synchronous, so that it does not make asynchronous the interceptors that are not.
    instance.interceptors.request.use(watch, undefined, { synchronous: true });
  }

  /** Whether another service has attached since. */
  private isSucceeded(instance: NestAxiosInstance): boolean {
    const current = signingOf(instance.defaults.adapter);
    return current !== undefined && current.owner !== this.serviceAuth;
  }

  private signing(adapter: AdapterConfig['adapter']): AdapterConfig['adapter'] {
    const present = signingOf(adapter);
    if (present?.owner === this.serviceAuth) return adapter;
    // An instance inherits the adapter of the one it is made from, which may sign for another service.
    const plain = present ? (present.inner as AxiosAdapter) : adapter;
    const inner: AxiosAdapter = async (config) =>
      await this.axios.getAdapter(plain ?? this.axios.defaults.adapter, config)(config);
    return createSigningAdapter<AdapterConfig & AxiosLikeConfig, Awaited<ReturnType<AxiosAdapter>>>(
      inner,
      this.parts,
    ) as AxiosAdapter;
  }

  private get parts(): SigningParts<AdapterConfig & AxiosLikeConfig> {
    const uriBuilder = new this.axios.Axios({});
    return {
      owner: this.serviceAuth,
      getUri: (config) => {
        const { url, baseURL, allowAbsoluteUrls, paramsSerializer } = config;
        const params = config.params as unknown;
        // Axios copies whatever it gets: so it gets nothing where the URL is whole, and else what makes it.
        if (url !== undefined && !baseURL && !params && ABSOLUTE_URL.test(url)) return url;
        return uriBuilder.getUri({ url, baseURL, allowAbsoluteUrls, paramsSerializer, params });
      },
      targetOf: (url) => this.serviceAuth.targetOf(url),
      sign: async (request) => await this.serviceAuth.sign(request),
      currentSubject: () => subjectHere(this.callContext, this.serviceAuth.sending),
      noteSigningFailure: (...failure) => this.serviceAuth.noteSigningFailure(...failure),
      maxBufferedBodyBytes: this.serviceAuth.sending.maxBufferedBodyBytes,
    };
  }
}
