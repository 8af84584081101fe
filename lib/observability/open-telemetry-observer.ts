import { type MeterProvider, metrics, trace } from '@opentelemetry/api';
import { OptionReader, type ServiceAuthEvent, type ServiceAuthObserver } from '../core/index.js';
import { annotateSpan } from './annotate-span.js';
import { BoundedLabels } from './bounded-labels.js';
import { createInstruments } from './instruments.js';
import { type Metrics, recordMetrics } from './record-metrics.js';

export interface OpenTelemetryObserverOptions {
  /** The provider of the meter. Default: the global provider at the first event. */
  meterProvider?: MeterProvider;
  /** Whether decisions are recorded on the active span. Default `annotate`. */
  spans?: 'annotate' | 'off';
  /** The most issuers, and the most audiences, with their own label value, 1 to 10000. Default 100. */
  maxLabelValues?: number;
}

const OPTION_NAMES = [
  'meterProvider',
  'spans',
  'maxLabelValues',
] as const satisfies (keyof OpenTelemetryObserverOptions)[];

const METER_NAME = 'nestjs-service-auth';

/**
 * Reports to OpenTelemetry: counters and durations of decisions, of keys and of the replay store, and attributes on
 * the active span. Each label has a bounded number of values, whatever callers send.
 *
 * @throws ServiceAuthConfigError listing every problem, each as `field: what to write`
 *
 * @example
 * `observer: [new LoggingObserver(), new OpenTelemetryObserver()]`
 */
export class OpenTelemetryObserver implements ServiceAuthObserver {
  private readonly meterProvider: MeterProvider | undefined;
  private readonly annotates: boolean;
  private readonly labels: Pick<Metrics, 'issuers' | 'audiences'>;
  private metrics: Metrics | undefined;

  constructor(options: OpenTelemetryObserverOptions = {}) {
    const reader = new OptionReader(options, OPTION_NAMES);
    this.meterProvider = reader.port<MeterProvider>('meterProvider', 'getMeter');
    this.annotates = reader.word('spans', ['annotate', 'off'], 'annotate') === 'annotate';
    const range = { from: 1, to: 10_000, fallback: 100 };
    const maxLabelValues = reader.integer('maxLabelValues', range);
    reader.problems.assertNone();
    this.labels = {
      issuers: new BoundedLabels(maxLabelValues),
      audiences: new BoundedLabels(maxLabelValues),
    };
  }

  /** Counts an event, and records it on the active span. */
  observe(event: ServiceAuthEvent): void {
    recordMetrics(event, this.existingMetrics());
    const span = this.annotates ? trace.getActiveSpan() : undefined;
    if (span?.isRecording()) annotateSpan(event, span);
  }

  /** Not before the first event: an SDK may be registered after this observer is created. */
  private existingMetrics(): Metrics {
    const provider = this.meterProvider ?? metrics.getMeterProvider();
    this.metrics ??= { ...createInstruments(provider.getMeter(METER_NAME)), ...this.labels };
    return this.metrics;
  }
}
