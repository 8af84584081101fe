import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';

/** One line of a metric: its attributes, and what was counted or measured under them. */
export interface Point {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly value: unknown;
}

const KINDS: Readonly<Record<DataPointType, string>> = {
  [DataPointType.SUM]: 'counter',
  [DataPointType.GAUGE]: 'gauge',
  [DataPointType.HISTOGRAM]: 'histogram',
  [DataPointType.EXPONENTIAL_HISTOGRAM]: 'exponential histogram',
};

/** Exports metrics into memory, as the SDK of an application would export them elsewhere. */
export class RecordedMetrics {
  private readonly exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  private readonly reader = new PeriodicExportingMetricReader({
    exporter: this.exporter,
    exportIntervalMillis: 2 ** 30,
    exportTimeoutMillis: 2 ** 29,
  });
  readonly provider = new MeterProvider({ readers: [this.reader] });

  /** Every metric so far by its name, with its kind and unit. */
  async collect(): Promise<Map<string, { kind: string; unit: string; points: Point[] }>> {
    this.exporter.reset();
    await this.reader.forceFlush();
    const metrics = this.exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics)
      .flatMap((scope) => scope.metrics);
    const entries = metrics.map(({ descriptor, dataPointType, dataPoints }) => {
      const points = dataPoints.map(({ attributes, value }) => ({ attributes, value }));
      const kind = KINDS[dataPointType];
      return [descriptor.name, { kind, unit: descriptor.unit, points }] as const;
    });
    return new Map(entries);
  }

  async pointsOf(name: string): Promise<Point[]> {
    return (await this.collect()).get(name)?.points ?? [];
  }

  async close(): Promise<void> {
    await this.provider.shutdown();
  }
}

/** Exports spans into memory, and makes a span of every request that is served. */
export class RecordedSpans {
  readonly exporter = new InMemorySpanExporter();
  private readonly provider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(this.exporter)],
  });

  constructor() {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    trace.setGlobalTracerProvider(this.provider);
  }

  /** Middleware that does what the HTTP instrumentation does: the request is served within a span. */
  readonly middleware = (
    _request: unknown,
    response: { once(event: 'finish', listener: () => void): unknown },
    next: () => void,
  ): void => {
    trace.getTracer('http').startActiveSpan('request', (span) => {
      response.once('finish', () => span.end());
      next();
    });
  };

  /** The spans that have ended since the last call. */
  take() {
    const spans = this.exporter.getFinishedSpans().map(({ attributes, events, status }) => ({
      attributes,
      events: events.map((event) => ({ name: event.name, attributes: event.attributes })),
      status: status.code,
    }));
    this.exporter.reset();
    return spans;
  }

  async close(): Promise<void> {
    context.disable();
    trace.disable();
    await this.provider.shutdown();
  }
}
