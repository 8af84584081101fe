/** The subpath `nestjs-service-auth/opentelemetry`, for services that report to OpenTelemetry. */
export {
  OpenTelemetryObserver,
  type OpenTelemetryObserverOptions,
} from './observability/open-telemetry-observer.js';
