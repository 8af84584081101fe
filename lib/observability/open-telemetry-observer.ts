import { type MeterProvider, metrics, trace } from '@opentelemetry/api';
import { OptionReader, type ServiceAuthEvent, type ServiceAuthObserver } from '../core/index.js';
import { annotateSpan } from './annotate-span.js';
import { BoundedLabels } from './bounded-labels.js';
import { createInstruments } from './instruments.js';
import { type Metrics, recordMetrics } from './record-metrics.js';

export interface OpenTelemetryObserverOptions {
  /** Where the metrics go. Default: the global provider, as it is when the first event comes. */
  meterProvider?: MeterProvider;
  /** Whether decisions are written on the span that is active. Default `annotate`. */
  spans?: 'annotate' | 'off';
  /** How many issuers, and how many audiences, have a label of their own, 1 to 10000. Default 100. */
  maxLabelValues?: number;
}

const OPTION_NAMES = [
  'meterProvider',
  'spans',
  'maxLabelValues',
] as const satisfies (keyof OpenTelemetryObserverOptions)[];

const METER_NAME = 'nestjs-service-auth';

/**
 * Reports to OpenTelemetry: counters and durations of what is decided, of keys and of the replay store,
 * and attributes on the active span. Each label has a bounded number of values, whatever callers send.
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

  /** Counts an event, and names it on the span that is active. */
  observe(event: ServiceAuthEvent): void {
    recordMetrics(event, this.existingMetrics());
    const span = this.annotates ? trace.getActiveSpan() : undefined;
    if (span?.isRecording()) annotateSpan(event, span);
  }

  /** Not before the first event: an SDK may be registered after this was made. */
  private existingMetrics(): Metrics {
    const provider = this.meterProvider ?? metrics.getMeterProvider();
    this.metrics ??= { ...createInstruments(provider.getMeter(METER_NAME)), ...this.labels };
    return this.metrics;
  }
}
