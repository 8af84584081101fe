import { SpanStatusCode, metrics } from '@opentelemetry/api';
import { LoggingObserver, type ServiceAuthEvent } from 'nestjs-service-auth';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { OpenTelemetryObserver } from 'nestjs-service-auth/opentelemetry';
import { type AttemptParts, tokenFor, toCall, withParts } from '../support/attacks/attempt.js';
import {
  BASELINE,
  CENSUS,
  HERALD,
  heraldKey,
  NOW_SECONDS,
  startCensus,
  strangerKey,
  USER,
} from '../support/services/census.js';
import { type Answer, call } from '../support/http/http.js';
import { ADAPTERS } from '../support/services/service.js';
import { RecordedMetrics, RecordedSpans } from '../support/observed/telemetry.js';

const STRANGER = 'https://canary-stranger.service/';
const FLOOD = 10_000;

let recorded: RecordedMetrics;
beforeEach(() => void (recorded = new RecordedMetrics()));
afterEach(async () => await recorded.close());

const observerWith = (maxLabelValues?: number) =>
  new OpenTelemetryObserver({ meterProvider: recorded.provider, maxLabelValues });

describe.each(ADAPTERS)('requests on %s', (adapter) => {
  let spans: RecordedSpans;
  beforeAll(() => void (spans = new RecordedSpans()));
  afterAll(async () => await spans.close());

  const sendAll = async (...attempts: AttemptParts[]): Promise<Answer[]> => {
    const census = await startCensus({
      adapter,
      options: { observer: [observerWith(), new LoggingObserver()] },
      service: { configure: (app) => app.use(spans.middleware) },
    });
    const answers: Answer[] = [];
    for (const parts of attempts) {
      const attempt = withParts(BASELINE, parts);
      answers.push(await call(census.port, toCall(attempt, tokenFor(attempt, NOW_SECONDS))));
    }
    await census.close();
    return answers;
  };

  it('are counted and timed, by what was decided', async () => {
    const { keyId } = heraldKey;
    await sendAll(
      {},
      {},
      { issuer: STRANGER },
      { key: { ...strangerKey, keyId } },
      { audience: HERALD },
      { target: '/api/thing/anonymous', send: () => ({}) },
    );
    const all = await recorded.collect();
    const line = (outcome: string, issuer: string, error?: string) => ({
      'service_auth.outcome': outcome,
      'service_auth.transport': 'http',
      'service_auth.issuer': issuer,
      ...(error === undefined ? {} : { 'error.type': error }),
    });
    expect(all.get('service_auth.requests')).toEqual({
      kind: 'counter',
      unit: '{request}',
      points: [
        { attributes: line('accepted', HERALD), value: 2 },
        { attributes: line('refused', 'unknown', 'issuer_unknown'), value: 1 },
        { attributes: line('refused', HERALD, 'signature_invalid'), value: 1 },
        { attributes: line('refused', HERALD, 'audience_mismatch'), value: 1 },
        { attributes: line('anonymous', 'unknown'), value: 1 },
      ],
    });
    const durations = all.get('service_auth.verify.duration');
    expect(durations?.unit).toBe('s');
    expect(durations?.points.map(({ value }) => (value as { count: number }).count)).toEqual([
      2, 1, 1, 1,
    ]);
    const text = JSON.stringify([...all]);
    expect([text.includes('canary'), text.includes(USER)]).toEqual([false, false]);
  });

  it('are written on the span of the request, whose status is not touched', async () => {
    spans.take();
    await sendAll({}, { audience: HERALD }, { issuer: STRANGER });
    const issuer = { 'service_auth.issuer': HERALD };
    const refused = (code: string, trust: string) => ({
      'service_auth.code': code,
      'service_auth.issuer.trust': trust,
      ...(trust === 'unknown' ? {} : issuer),
    });
    const told = spans.take();
    expect(told.map(({ attributes }) => attributes)).toEqual([
      {
        'service_auth.outcome': 'accepted',
        ...issuer,
        'service_auth.profile': 'strict',
        'service_auth.algorithm': 'ES256',
        'service_auth.key.id': heraldKey.keyId,
        'service_auth.has_subject': true,
        'service_auth.proof': 'none',
      },
      { 'service_auth.outcome': 'refused', ...refused('audience_mismatch', 'verified') },
      { 'service_auth.outcome': 'refused', ...refused('issuer_unknown', 'unknown') },
    ]);
    const name = 'service_auth.request_refused';
    expect(told.map(({ events }) => events)).toEqual([
      [],
      [
        {
          name,
          attributes: {
            ...refused('audience_mismatch', 'verified'),
            'service_auth.detail': expect.stringMatching(/^made for /) as string,
          },
        },
      ],
      [{ name, attributes: refused('issuer_unknown', 'unknown') }],
    ]);
    expect(told.map(({ status }) => status)).toEqual(Array(3).fill(SpanStatusCode.UNSET));
    expect(JSON.stringify(told)).not.toMatch(/canary|eyJ/);
  });
});

describe('requests that go out', () => {
  it('are counted by the service that is called', async () => {
    const service = await createServiceAuth({
      issuer: HERALD,
      signingKey: { privateKey: heraldKey.privatePem },
      targets: [{ baseUrl: CENSUS }],
      observer: observerWith(),
    });
    const request = { method: 'GET', url: CENSUS, headers: {}, body: new Uint8Array() };
    await service.sign(request);
    await expect(service.sign({ ...request, url: STRANGER })).rejects.toThrow('no configured');
    service.close();
    const all = await recorded.collect();
    expect(all.get('service_auth.calls')).toEqual({
      kind: 'counter',
      unit: '{call}',
      points: [
        {
          attributes: { 'service_auth.outcome': 'signed', 'service_auth.audience': CENSUS },
          value: 1,
        },
        {
          attributes: {
            'service_auth.outcome': 'failed',
            'error.type': 'target_unknown',
            'service_auth.audience': 'unknown',
          },
          value: 1,
        },
      ],
    });
    expect(all.get('service_auth.sign.duration')?.unit).toBe('s');
  });
});

describe('keys and the replay store', () => {
  const issuer = HERALD;
  const reason = 'canary of a reason';
  const ofIssuer = { 'service_auth.issuer': HERALD };
  const EVENTS: [event: ServiceAuthEvent, name: string, attributes: object, value: number][] = [
    [{ type: 'keys_refreshed', issuer, keyIds: ['canary'] }, 'keys.refresh_failing', ofIssuer, 0],
    [
      { type: 'keys_refresh_failed', issuer, reason, servingStale: true },
      'keys.refresh_failing',
      ofIssuer,
      1,
    ],
    [
      { type: 'keys_refreshed', issuer, keyIds: [] },
      'keys.refreshes',
      { ...ofIssuer, 'service_auth.outcome': 'refreshed' },
      1,
    ],
    [
      { type: 'keys_refresh_failed', issuer, reason, servingStale: false },
      'keys.refreshes',
      { ...ofIssuer, 'service_auth.outcome': 'failed' },
      1,
    ],
    [{ type: 'key_dropped', issuer, reason }, 'keys.dropped', ofIssuer, 1],
    [
      { type: 'signing_keys_changed', keyId: 'canary', publishedKeyIds: [] },
      'signing_keys.changes',
      {},
      1,
    ],
    [{ type: 'signing_keys_unusable', reason }, 'signing_keys.failures', {}, 1],
    [{ type: 'replay_store_failed', reason }, 'replay_store.outages', {}, 1],
    [{ type: 'replay_store_failed', reason }, 'replay_store.failing', {}, 1],
    [
      { type: 'replay_store_recovered', refused: 1, acceptedUnchecked: 0 },
      'replay_store.failing',
      {},
      0,
    ],
    [
      { type: 'token_accepted_unchecked', issuer, reason, count: 9 },
      'replay_store.unchecked',
      ofIssuer,
      1,
    ],
    [{ type: 'replay_store_unsafe', reason }, 'replay_store.warnings', {}, 1],
    [
      { type: 'lease_lost', transport: 'messages', issuer, route: 'canary' },
      'leases_lost',
      ofIssuer,
      1,
    ],
    [
      { type: 'duplicate_dropped', transport: 'messages', issuer, route: 'canary' },
      'duplicates_dropped',
      ofIssuer,
      1,
    ],
  ];

  it.each(EVENTS)('are counted: %j', async (event, name, attributes, value) => {
    observerWith().observe(event);
    expect(await recorded.pointsOf(`service_auth.${name}`)).toEqual([{ attributes, value }]);
    expect(JSON.stringify([...(await recorded.collect())])).not.toContain('canary');
  });
});

describe('a flood', () => {
  const label = 'service_auth.issuer';
  const issuersIn = async (name: string) =>
    new Set((await recorded.pointsOf(name)).map(({ attributes }) => attributes[label]));

  it(`of ${FLOOD} strangers is one line`, async () => {
    const service = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
      now: () => NOW_SECONDS * 1000,
      observer: observerWith(),
    });
    const codes = new Set<unknown>();
    for (let at = 0; at < FLOOD; at++) {
      const stranger =
        at % 2 === 0 ? { issuer: `${STRANGER}${at}/` } : { header: { kid: `${at}` } };
      const attempt = withParts(BASELINE, stranger);
      const rawHeaders = ['JWT', tokenFor({ ...attempt, build: unsigned }, NOW_SECONDS)];
      const { target, method } = attempt;
      await service
        .verify({ method, target, rawHeaders, body: new Uint8Array() })
        .catch((error: { code: unknown }) => codes.add(error.code));
    }
    service.close();
    expect(codes).toEqual(new Set(['issuer_unknown', 'key_unknown']));
    expect(await issuersIn('service_auth.requests')).toEqual(new Set(['unknown', HERALD]));
    expect(await recorded.pointsOf('service_auth.requests')).toHaveLength(2);
  }, 60_000);

  it.each([
    ['issuers', undefined, 100],
    ['issuers', 3, 3],
  ])(`of ${FLOOD} trusted %s leaves as many labels as allowed: %j`, async (_what, max, labels) => {
    const observer = observerWith(max);
    for (let at = 0; at < FLOOD; at++) {
      const issuer = `https://${at}.service/`;
      observer.observe({ type: 'keys_refresh_failed', issuer, reason: '', servingStale: true });
      observer.observe({
        type: 'request_signed',
        transport: 'http',
        audience: issuer,
        hasSubject: false,
        profile: 'strict',
        durationMilliseconds: 1,
      });
    }
    expect((await issuersIn('service_auth.keys.refreshes')).size).toBe(labels + 1);
    expect(await issuersIn('service_auth.keys.refreshes')).toContain('other');
    // A state has no meaning for many at once.
    expect((await issuersIn('service_auth.keys.refresh_failing')).size).toBe(labels);
    expect(await recorded.pointsOf('service_auth.calls')).toHaveLength(labels + 1);
    expect(await recorded.pointsOf('service_auth.sign.duration')).toHaveLength(labels + 1);
  });
});

describe('OpenTelemetryObserver', () => {
  const event: ServiceAuthEvent = { type: 'replay_store_unsafe', reason: '' };

  it('takes the global provider, even one that was registered later', async () => {
    const observer = new OpenTelemetryObserver();
    metrics.setGlobalMeterProvider(recorded.provider);
    observer.observe(event);
    metrics.disable();
    expect(await recorded.pointsOf('service_auth.replay_store.warnings')).toHaveLength(1);
  });

  it('leaves spans alone where told to', async () => {
    const spans = new RecordedSpans();
    for (const choice of ['off', 'annotate'] as const) {
      const observer = new OpenTelemetryObserver({
        spans: choice,
        meterProvider: recorded.provider,
      });
      const finish: (() => void)[] = [];
      spans.middleware(undefined, { once: (_event, listener) => finish.push(listener) }, () =>
        observer.observe({ type: 'request_anonymous', transport: 'http', route: undefined }),
      );
      finish.forEach((end) => end());
    }
    const told = spans.take().map(({ attributes }) => Object.keys(attributes));
    await spans.close();
    expect(told).toEqual([[], ['service_auth.outcome']]);
  });

  it('lists all that is wrong with its options', () => {
    const options = { meterProvider: {}, spans: 'on', maxLabelValues: 0, colour: 'red' } as never;
    expect(() => new OpenTelemetryObserver(options)).toThrow(
      expect.objectContaining({
        problems: [
          'colour: unknown option; remove it',
          'meterProvider: write an object with a method getMeter',
          "spans: write 'annotate' or 'off'",
          'maxLabelValues: write a whole number from 1 to 10000',
        ],
      }),
    );
    const { provider: meterProvider } = recorded;
    const good = { meterProvider, spans: 'off', maxLabelValues: 10_000 } as const;
    expect(() => new OpenTelemetryObserver(good)).not.toThrow();
  });
});

/** A token whose signature is none: it is refused before anybody looks at that. */
function unsigned(header: object, claims: object): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
  return `${encode(header)}.${encode(claims)}.${Buffer.alloc(64, 1).toString('base64url')}`;
}
