/** What a service imports that reports to OpenTelemetry: the subpath `nestjs-service-auth/opentelemetry`. */
export {
  OpenTelemetryObserver,
  type OpenTelemetryObserverOptions,
} from './observability/open-telemetry-observer.js';
