import { ServiceAuthConfigError } from 'nestjs-service-auth';
import { OptionReader } from '../../lib/core/index.js';
import { checkEnforcement, Enforcement } from '../../lib/nest/enforcement.js';

const END = '2100-01-01T08:00:00Z';
const AT = new Date(END).getTime();
const DAY = 86_400_000;

type EnforcementOptions = Parameters<typeof Enforcement.of>[0];
const at = (now: number, options: EnforcementOptions): Enforcement =>
  Enforcement.of(options, () => now);

const REPORT: EnforcementOptions = { enforcement: 'report', reportUntil: END };
const ENFORCE: EnforcementOptions = { reportUntil: END };

describe('Enforcement', () => {
  it.each<[string, EnforcementOptions, number, object]>([
    ['reports', REPORT, AT - 1, { isReporting: true, isOver: false, daysLeft: 1 }],
    ['is over at its date', REPORT, AT, { isReporting: false, isOver: true, daysLeft: 0 }],
    ['stays over', REPORT, AT + 3 * DAY, { isReporting: false, isOver: true, daysLeft: 0 }],
    ['counts whole days', REPORT, AT - 2 * DAY, { isReporting: true, daysLeft: 2 }],
    ['counts begun days', REPORT, AT - 2 * DAY - 1, { isReporting: true, daysLeft: 3 }],
    ['enforces', ENFORCE, AT - 1, { canReport: true, isReporting: false, isOver: false }],
    ['enforces after its date', ENFORCE, AT, { canReport: true, isReporting: false, isOver: true }],
    [
      'has no date',
      { enforcement: 'report' },
      AT,
      { canReport: false, isReporting: false, isOver: false, daysLeft: 0 },
    ],
    ['has a clock that answers no number', REPORT, Number.NaN, { isReporting: false, daysLeft: 0 }],
    ['has a clock that is too early', REPORT, -Infinity, { isReporting: false, daysLeft: 0 }],
    ['has a clock that is too late', REPORT, Infinity, { isReporting: false, daysLeft: 0 }],
  ])('%s', (_title, options, now, expected) => {
    expect(at(now, options)).toMatchObject(expected);
  });

  it.each<[EnforcementOptions, number, boolean[]]>([
    [REPORT, AT - 1, [true, true]],
    [REPORT, AT, [false, false]],
    [ENFORCE, AT - 1, [false, true]],
    [ENFORCE, AT, [false, false]],
    [{}, 0, [false, false]],
  ])('with %j at %d: reports on any route, and on one with @ReportOnly(): %j', (...row) => {
    const [options, now, expected] = row;
    const reports = [false, true].map((isReportOnly) => at(now, options).reports({ isReportOnly }));
    expect(reports).toEqual(expected);
  });

  it('writes its date for the log', () => {
    expect(at(0, REPORT).endText).toBe('2100-01-01T08:00:00.000Z');
    expect(at(0, {}).endText).toBe('reportUntil');
  });

  it.each<[unknown, number]>([
    ['2100-01-01', AT - 8 * 3_600_000],
    ['2100-01-01T08:00Z', AT],
    ['2100-01-01T08:00:00Z', AT],
    ['2100-01-01T08:00:00.5Z', AT + 500],
    ['2100-01-01T08:00:00.123Z', AT + 123],
    ['2100-01-01T10:30+02:30', AT],
    ['2100-01-01T05:30:00.000-02:30', AT],
    [new Date(AT), AT],
  ])('%p is a date', (reportUntil, end) => {
    const options = { enforcement: 'report', reportUntil } as EnforcementOptions;
    expect([end - 1, end].map((now) => at(now, options).isReporting)).toEqual([true, false]);
    expect(problemsOf(options)).toEqual([]);
  });

  it.each([
    '',
    'soon',
    '2100',
    '2100-01',
    '2100-13-01',
    '100-01-01',
    '12100-01-01',
    '2100-1-01',
    '2100-01-1',
    '2100-01-011',
    ' 2100-01-01',
    '2100-01-01 ',
    '2100-01-01Z',
    '2100-01-01T08Z',
    '2100-01-01T08:00',
    '2100-01-01T8:00Z',
    '2100-01-01T08:0Z',
    '2100-01-01T08:00:0Z',
    '2100-01-01T08:00:00',
    '2100-01-01T08:00:00.Z',
    '2100-01-01T08:00:00.1234Z',
    '2100-01-01T08:00:00+2:30',
    '2100-01-01T08:00:00+02:3',
    '2100-01-01T08:00:00+0230',
    '2100-01-01T08:00:00 02:30',
    '2100-01-01T08:00:00ZZ',
    '2100-01-01 08:00:00Z',
    AT,
    null,
    { toString: () => END },
    [END],
    new Date(Number.NaN),
  ])('%p is none', (reportUntil) => {
    const options = { enforcement: 'report', reportUntil } as EnforcementOptions;
    expect(at(0, options)).toMatchObject({ canReport: false, isReporting: false });
    expect(problemsOf(options)).toEqual([expect.stringMatching(/^reportUntil: write a Date/)]);
  });

  it.each<[EnforcementOptions, string[]]>([
    [{}, []],
    [{ enforcement: 'enforce' }, []],
    [ENFORCE, []],
    [{ enforcement: 'report' }, ['reportUntil: write the date from which requests are refused']],
    [{ enforcement: 'off' as 'report' }, ["enforcement: write 'enforce' or 'report'"]],
  ])('with %j: %j', (options, problems) => {
    expect(problemsOf(options)).toEqual(
      problems.map((each) => expect.stringContaining(each) as string),
    );
  });
});

function problemsOf(options: EnforcementOptions): readonly string[] {
  const reader = new OptionReader(options, ['enforcement', 'reportUntil']);
  checkEnforcement(reader);
  try {
    reader.problems.assertNone();
    return [];
  } catch (error) {
    if (error instanceof ServiceAuthConfigError) return error.problems;
    throw error;
  }
}
