import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { LoggingObserver, type ServiceAuthEvent } from 'nestjs-service-auth';
import { OpenTelemetryObserver } from 'nestjs-service-auth/opentelemetry';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { SAMPLE_EVENTS } from '../support/observed/sample-events.js';
import { RecordedMetrics } from '../support/observed/telemetry.js';

const page = readFileSync(
  join(import.meta.dirname, '..', '..', 'docs', 'observability.md'),
  'utf8',
);
const events: ServiceAuthEvent[] = Object.values(SAMPLE_EVENTS);

/** The rows under a heading whose first cell is code, as their cells. */
function rowsUnder(heading: string): string[][] {
  const [, section = ''] = page.split(`\n## ${heading}\n`);
  const rows = (section.split('\n## ')[0] ?? '').matchAll(/^\| (`.*) \|$/gm);
  return [...rows].map(([, row = '']) => row.split(' | '));
}

const codeIn = (cell = ''): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);

/** What the log says of an event. */
function linesOf(event: ServiceAuthEvent): { level: string; text: string }[] {
  const recorder = new LogRecorder();
  Logger.overrideLogger(recorder);
  new LoggingObserver({ successes: 'verbose' }).observe(event);
  Logger.overrideLogger(false);
  return recorder.entries.map(({ level, text }) => ({
    level,
    text: text.replace(/ ServiceAuth$/, ''),
  }));
}

describe('the table of events', () => {
  it('lists the events of the library, each with what it says and how it is logged', () => {
    const documented = rowsUnder('Events').map(([type, , members, level]) => ({
      type: codeIn(type).join(),
      members: codeIn(members),
      level: codeIn(level)[0],
    }));
    const actual = events.map((event) => ({
      type: event.type,
      members: Object.keys(event).filter((name) => name !== 'type'),
      level: linesOf(event)[0]?.level,
    }));
    expect(documented).toEqual(actual);
  });
});

describe('the log', () => {
  it('has the lines that the documentation shows', () => {
    const [, block = ''] = /```text\n(.*?)```/s.exec(page) ?? [];
    const lines = events
      .flatMap(linesOf)
      .map(({ level, text }) => `${level.toUpperCase()} ${text}`);
    expect(block.trimEnd().split('\n')).toEqual(lines);
  });

  it('makes one line of each event, whatever its reason quotes', () => {
    const reason = 'said\r\n[Nest] LOG forged\u2028line\u0085\u001b[31m';
    const [{ text } = { text: '' }] = linesOf({ type: 'replay_store_failed', reason });
    expect(text).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
    expect(text).toContain('[Nest] LOG forged');
  });
});

describe('the table of metrics', () => {
  it('lists the metrics of the library, each with its kind, unit and attributes', async () => {
    const recorded = new RecordedMetrics();
    const observer = new OpenTelemetryObserver({ meterProvider: recorded.provider });
    for (const event of events) observer.observe(event);
    const metrics = await recorded.collect();
    await recorded.close();
    const documented = rowsUnder('OpenTelemetry').flatMap(([name, kind, unit, , attributes]) =>
      name?.startsWith('`service_auth.') && attributes !== undefined
        ? [[...codeIn(name), kind, ...codeIn(unit), new Set(codeIn(attributes))]]
        : [],
    );
    const actual = [...metrics].map(([name, { kind, unit, points }]) => [
      name,
      kind,
      unit,
      new Set(points.flatMap(({ attributes }) => Object.keys(attributes))),
    ]);
    expect(documented).toEqual(actual);
  });
});
