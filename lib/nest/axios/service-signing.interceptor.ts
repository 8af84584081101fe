import { HttpService } from '@nestjs/axios';
import { Inject, Injectable } from '@nestjs/common';
import type { AxiosAdapter, AxiosInstance, AxiosStatic } from 'axios';
import {
  type AxiosLikeConfig,
  createSigningAdapter,
  isSigningAdapter,
  type SigningParts,
} from '../../clients/axios.js';
import type { CallSubject } from '../../clients/call-subject.js';
import { ServiceAuth } from '../../service-auth.js';
import { ServiceCallContext } from '../service-call.context.js';

type AdapterConfig = Parameters<AxiosAdapter>[0];

/**
 * The very axios that @nestjs/axios runs on. `import axios from 'axios'` may be another copy (ES
 * module here, CommonJS there), and one copy does not recognise the headers of the other.
 */
export function axiosOfNest(): AxiosStatic {
  return new HttpService().axiosRef as AxiosStatic;
}

/** Makes an `HttpService` sign what it sends to the configured targets. */
@Injectable()
export class ServiceSigningInterceptor {
  private readonly axios = axiosOfNest();
  private readonly attached = new WeakSet<AxiosInstance>();

  constructor(
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
  ) {}

  /**
   * From now on every request of this `HttpService` to a configured target is signed, and others are
   * refused unless `unknownTargets` is `send-unsigned`. Attaching twice signs once.
   *
   * Only the adapter is swapped, so signing comes after every interceptor and transformation,
   * whenever they were registered.
   *
   * @returns the same `HttpService`
   */
  attach(httpService: HttpService): HttpService {
    const instance = httpService.axiosRef;
    if (this.attached.has(instance)) return httpService;
    this.attached.add(instance);
    instance.defaults.adapter = this.signing(instance.defaults.adapter);
    instance.interceptors.request.use((config) => {
      config.adapter = this.signing(config.adapter ?? instance.defaults.adapter);
      return config;
    });
    return httpService;
  }

  private signing(adapter: AdapterConfig['adapter']): AdapterConfig['adapter'] {
    if (isSigningAdapter(adapter)) return adapter;
    const inner: AxiosAdapter = async (config) =>
      await this.axios.getAdapter(adapter ?? this.axios.defaults.adapter, config)(config);
    return createSigningAdapter<AdapterConfig & AxiosLikeConfig, Awaited<ReturnType<AxiosAdapter>>>(
      inner,
      this.parts,
    ) as AxiosAdapter;
  }

  private get parts(): SigningParts<AdapterConfig & AxiosLikeConfig> {
    const uriBuilder = new this.axios.Axios({});
    return {
      getUri: (config) => uriBuilder.getUri(config),
      targetOf: (url) => this.serviceAuth.targetOf(url),
      sign: async (request) => await this.serviceAuth.sign(request),
      currentSubject: () => this.currentSubject(),
      maxBufferedBodyBytes: this.serviceAuth.sending.maxBufferedBodyBytes,
    };
  }

  private currentSubject(): CallSubject | undefined {
    const current = this.callContext.current();
    if (current) return current;
    const actAsItself = this.serviceAuth.sending.subjectOutsideRequest === 'act-as-itself';
    return actAsItself ? { subject: undefined } : undefined;
  }
}
