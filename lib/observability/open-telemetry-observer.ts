import { type MeterProvider, metrics, trace } from '@opentelemetry/api';
import {
  ServiceAuthConfigError,
  type ServiceAuthEvent,
  type ServiceAuthObserver,
} from '../core/index.js';
import { annotateSpan } from './annotate-span.js';
import { BoundedLabels } from './bounded-labels.js';
import { createInstruments, type Instruments } from './instruments.js';
import { type MetricLabels, recordMetrics } from './record-metrics.js';

export interface OpenTelemetryObserverOptions {
  /** Where the metrics go. Default: the global provider, as it is when the first event comes. */
  meterProvider?: MeterProvider;
  /** Whether decisions are written on the span that is active. Default `annotate`. */
  spans?: 'annotate' | 'off';
  /** How many issuers, and how many audiences, have a label of their own, 1 to 10000. Default 100. */
  maxLabelValues?: number;
}

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
  private readonly labels: MetricLabels;
  private instruments: Instruments | undefined;

  constructor(options: OpenTelemetryObserverOptions = {}) {
    const { meterProvider, spans = 'annotate', maxLabelValues = 100, ...others } = options;
    const problems = Object.keys(others).map((name) => `${name}: unknown option; remove it`);
    if (meterProvider !== undefined && typeof meterProvider?.getMeter !== 'function') {
      problems.push('meterProvider: write an object with a method getMeter');
    }
    if (spans !== 'annotate' && spans !== 'off') problems.push("spans: write 'annotate' or 'off'");
    if (!Number.isInteger(maxLabelValues) || maxLabelValues < 1 || maxLabelValues > 10_000) {
      problems.push('maxLabelValues: write a whole number from 1 to 10000');
    }
    if (problems.length > 0) throw new ServiceAuthConfigError(problems);
    this.meterProvider = meterProvider;
    this.annotates = spans === 'annotate';
    this.labels = {
      issuers: new BoundedLabels(maxLabelValues),
      audiences: new BoundedLabels(maxLabelValues),
    };
  }

  /** Counts an event, and names it on the span that is active. */
  observe(event: ServiceAuthEvent): void {
    recordMetrics(event, this.existingInstruments(), this.labels);
    const span = this.annotates ? trace.getActiveSpan() : undefined;
    if (span?.isRecording()) annotateSpan(event, span);
  }

  /** Not before the first event: an SDK may be registered after this was made. */
  private existingInstruments(): Instruments {
    const provider = this.meterProvider ?? metrics.getMeterProvider();
    this.instruments ??= createInstruments(provider.getMeter(METER_NAME));
    return this.instruments;
  }
}
