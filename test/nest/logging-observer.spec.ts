import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import {
  LoggingObserver,
  type LoggingObserverOptions,
  type RequestRefused,
  type ServiceAuthEvent,
} from 'nestjs-service-auth';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { SAMPLE_EVENTS } from '../support/observed/sample-events.js';
import { createClock } from '../support/services/receiver.js';

const HERALD = 'https://herald.service/';

const EXPIRED: RequestRefused = {
  ...SAMPLE_EVENTS.request_refused,
  code: 'token_expired',
  detail: '600.0 s ago by this clock',
  route: '/users/:id',
};
const KEYS_FAILED = { ...SAMPLE_EVENTS.keys_refresh_failed, servingStale: false };
const NO_KEYS: RequestRefused = {
  ...EXPIRED,
  code: 'key_unavailable',
  status: 503,
  detail: undefined,
  issuerTrust: 'claimed',
};
/** A message whose answer nobody could verify. */
const NOT_SENT = {
  ...SAMPLE_EVENTS.signing_failed,
  transport: 'messages',
  code: 'key_unavailable',
  audience: HERALD,
} as const;
const NO_STORE: RequestRefused = {
  ...NO_KEYS,
  code: 'replay_store_unavailable',
  issuerTrust: 'verified',
};

/** A log on a clock that a test moves, read at production level: what is below `log` is left out. */
function startLog(options: LoggingObserverOptions = {}) {
  const recorder = new LogRecorder();
  Logger.overrideLogger(recorder);
  const clock = createClock();
  const observer = new LoggingObserver({ now: clock.now, ...options });
  const hear = (event: ServiceAuthEvent, times = 1): void => {
    for (let count = 0; count < times; count++) observer.observe(event);
  };
  const taken = (levels: readonly string[]): string[] => {
    const lines = recorder.entries.splice(0).filter(({ level }) => levels.includes(level));
    return lines.map(({ level, text }) => `${level} ${text.replace(/ ServiceAuth$/, '')}`);
  };
  return {
    observer,
    hear,
    /** Lets time pass, and something happen that has no line of its own. */
    pass: (seconds: number): void => {
      clock.advance(seconds);
      observer.observe(SAMPLE_EVENTS.request_accepted);
    },
    take: () => taken(['error', 'warn', 'log']),
    takeDebug: () => taken(['debug', 'verbose']),
    takeAll: () => taken(['error', 'warn', 'log', 'debug', 'verbose']),
  };
}

afterEach(() => {
  Logger.overrideLogger(false);
});

const FIRST =
  'warn Refused a request of https://herald.service/ to /users/:id: token_expired, 600.0 s ago by this clock. If this number stays equal, the clocks differ: check NTP on both hosts. If not, the caller reuses a token, or the request waited.';

describe('a refused caller whose issuer is verified', () => {
  it('has a line at once, and a number when the minute is over', () => {
    const log = startLog();
    log.hear(EXPIRED, 312);
    expect(log.take()).toEqual([FIRST]);
    log.pass(59);
    expect(log.take()).toEqual([]);
    log.pass(1);
    expect(log.take()).toEqual([
      'warn 312 requests of https://herald.service/ refused in the last minute: token_expired, 600.0 s ago by this clock. If this number stays equal, the clocks differ: check NTP on both hosts. If not, the caller reuses a token, or the request waited.',
    ]);
  });

  it('has a line for each request at debug', () => {
    const log = startLog();
    log.hear(EXPIRED, 3);
    expect(log.takeDebug()).toEqual([FIRST, FIRST].map((line) => line.replace('warn', 'debug')));
  });

  it('has one line a minute while it lasts, and none when it is over', () => {
    const log = startLog();
    log.hear(EXPIRED);
    expect(log.take()).toHaveLength(1);
    log.pass(60); // one request, which has its line
    expect(log.take()).toEqual([]);
    log.hear(EXPIRED, 2);
    expect(log.take()).toHaveLength(1);
    log.pass(60);
    expect(log.take()).toHaveLength(1);
    log.hear(EXPIRED);
    expect(log.take()).toEqual([]);
    log.pass(60);
    expect(log.take()[0]).toMatch(/^warn 1 request of https:\/\/herald.service\/ refused in the/);
    log.pass(600);
    expect(log.take()).toEqual([]);
  });

  it('has a line for each code', () => {
    const log = startLog();
    log.hear(EXPIRED, 500);
    log.hear({ ...EXPIRED, code: 'audience_mismatch', detail: undefined }, 500);
    expect(log.take()).toEqual([
      FIRST,
      "warn Refused a request of https://herald.service/ to /users/:id: audience_mismatch. Set audience of the caller's target (its baseUrl by default), or add the name to audience of this service.",
    ]);
  });

  it.each([true, false])('outlives a logger that fails in a timer: %p', (isFailing) => {
    jest.useFakeTimers();
    try {
      const { hear, take } = startLog({ now: Date.now });
      hear(EXPIRED, 3);
      expect(take()).toHaveLength(1);
      const failing = new LogRecorder();
      failing.warn = () => {
        throw new Error('EPIPE');
      };
      if (isFailing) Logger.overrideLogger(failing);
      expect(() => jest.advanceTimersByTime(60_000)).not.toThrow();
      expect(take()).toHaveLength(isFailing ? 0 : 1);
    } finally {
      jest.useRealTimers();
    }
  });

  it('has its number though nothing more happens, and keeps no process alive for it', () => {
    jest.useFakeTimers();
    try {
      const log = startLog({ now: () => performance.now() });
      log.hear(EXPIRED, 5);
      expect(log.take()).toEqual([FIRST]);
      jest.advanceTimersByTime(60_000);
      expect(log.take()[0]).toMatch(/^warn 5 requests of/);
      jest.advanceTimersByTime(60_000);
      expect(log.take()).toEqual([]);
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });

  it('has its number when the service closes, and a line of its own after that', () => {
    const log = startLog();
    log.hear(EXPIRED, 5);
    expect(log.take()).toEqual([FIRST]);
    log.observer.flush();
    expect(log.take()[0]).toMatch(/^warn 5 requests of/);
    log.observer.flush();
    expect(log.take()).toEqual([]);
    log.hear(EXPIRED);
    expect(log.take()).toEqual([FIRST]);
  });

  it('is counted the same way where it would be refused', () => {
    const log = startLog();
    log.hear({ ...EXPIRED, type: 'request_would_be_refused' }, 40);
    log.pass(60);
    expect(log.take()).toEqual([
      FIRST.replace('Refused', 'Let in (report-only mode)'),
      'warn 40 requests of https://herald.service/ would be refused by enforcement in the last minute: token_expired, 600.0 s ago by this clock. If this number stays equal, the clocks differ: check NTP on both hosts. If not, the caller reuses a token, or the request waited.',
    ]);
  });

  it('shares a line with others beyond a hundred, so that neither log nor memory grow', () => {
    const log = startLog();
    for (let number = 0; number < 5000; number++) {
      log.hear({ ...EXPIRED, issuer: `https://caller-${number}.service/` });
    }
    expect(log.take()).toHaveLength(101);
    log.pass(60);
    expect(log.take()).toEqual([
      expect.stringMatching(/^warn 4900 calls of other issuers refused in the last minute/),
    ]);
  });
});

describe('a request that names a trusted issuer, and does not prove it', () => {
  const UNKNOWN: RequestRefused = {
    ...EXPIRED,
    code: 'key_unknown',
    issuerTrust: 'claimed',
    detail: 'the known keys are "herald-1", fetched 25 s ago',
  };
  const SAYS =
    'key_unknown, the known keys are "herald-1", fetched 25 s ago. Publish the new key of the caller, or add it to its keys here. Until then let the caller sign with its previous key. If this caller has no failures, a stranger used its name.';

  it('has a line at once, and a number each minute: its caller may have rotated in a hurry', () => {
    const log = startLog();
    log.hear(UNKNOWN, 312);
    expect(log.take()).toEqual([
      `warn Refused a request that names ${HERALD} to /users/:id: ${SAYS}`,
    ]);
    log.pass(60);
    expect(log.take()).toEqual([
      `warn 312 requests that name ${HERALD} refused in the last minute: ${SAYS}`,
    ]);
    log.pass(600);
    expect(log.take()).toEqual([]);
  });

  it('is counted the same way where it would be refused', () => {
    const log = startLog();
    log.hear({ ...UNKNOWN, type: 'request_would_be_refused' }, 2);
    log.observer.flush();
    expect(log.take()).toEqual([
      `warn Let in (report-only mode) a request that names ${HERALD} to /users/:id: ${SAYS}`,
      `warn 2 requests that name ${HERALD} would be refused by enforcement in the last minute: ${SAYS}`,
    ]);
  });

  it('has a warning where a name differs from a trusted one in its spelling alone, and none otherwise', () => {
    const log = startLog();
    const stranger: RequestRefused = {
      ...UNKNOWN,
      code: 'issuer_unknown',
      issuer: undefined,
      issuerTrust: 'unknown',
      detail: `differs from ${HERALD} in its final slash`,
    };
    log.hear(stranger, 3);
    log.hear({ ...stranger, detail: undefined }, 3);
    expect(log.take()).toEqual([
      `warn Refused a request of an unknown issuer to /users/:id: issuer_unknown, differs from ${HERALD} in its final slash. Write it in the same way on both sides (the final slash counts), or add it to trustedIssuers.`,
    ]);
    log.pass(60);
    expect(log.take()).toEqual([
      expect.stringMatching(/^warn 3 requests of an unknown issuer refused in the last minute/),
    ]);
  });

  it('causes twelve lines a minute at most, and crowds out no caller who is verified', () => {
    const log = startLog();
    for (let number = 0; number < 5000; number++) {
      const issuer = `https://caller-${number % 500}.service/`;
      const code = number % 2 ? 'key_unknown' : 'signature_invalid';
      log.hear({ ...UNKNOWN, code, issuer });
    }
    log.hear(EXPIRED);
    const lines = log.take();
    expect(lines).toHaveLength(12);
    expect(lines.at(-1)).toBe(FIRST);
    for (let minute = 0; minute < 10; minute++) {
      for (let number = 0; number < 500; number++) {
        log.hear({ ...UNKNOWN, issuer: `https://caller-${number}.service/` });
      }
      log.pass(60);
    }
    const later = log.take();
    expect(later.length).toBeLessThanOrEqual(11 * 11);
    expect(later).toContainEqual(
      expect.stringMatching(/^warn \d+ calls that name other issuers refused in the last minute/),
    );
  });
});

describe('a stranger', () => {
  it.each([
    ['has no token', 'token_missing', 'a request without a token to'],
    ['has a token of nobody known', 'issuer_unknown', 'a request of an unknown issuer to'],
    ['has a token that cannot be read', 'token_malformed', 'a request to'],
  ] as const)('that %s is described by that', (_title, code, words) => {
    const log = startLog();
    log.hear({ ...EXPIRED, code, issuer: undefined, issuerTrust: 'unknown' });
    expect(log.takeDebug()).toEqual([
      expect.stringContaining(`debug Refused ${words} /users/:id: ${code}`),
    ]);
  });

  it.each([
    ['names nobody', { issuer: undefined, issuerTrust: 'unknown', code: 'issuer_unknown' }],
    ['finds no keys', { issuerTrust: 'claimed', code: 'key_unavailable', status: 503 }],
    [
      'is not found',
      { issuer: undefined, issuerTrust: 'unknown', code: 'key_unavailable', status: 503 },
    ],
  ] as const)('that %s has no line above debug', (_title, change) => {
    const log = startLog();
    log.hear({ ...EXPIRED, ...change }, 1000);
    log.hear({ ...EXPIRED, ...change, type: 'request_would_be_refused' }, 1000);
    log.pass(60);
    expect(log.take()).toEqual([]);
    log.hear({ ...EXPIRED, ...change, issuer: HERALD, issuerTrust: 'verified' });
    expect(log.take()).toHaveLength(1);
  });
});

describe('a message and a job', () => {
  const REFUSED: RequestRefused = { ...EXPIRED, code: 'body_mismatch', detail: 'the data differs' };
  const OF_DATA = 'Look for a serializer, or for code that changes the data after the signing.';

  it.each([
    ['messages', 'message', OF_DATA],
    ['jobs', 'job', OF_DATA],
    [
      'http',
      'request',
      'Look for a proxy, a serialiser or a compression that changes the body after it is signed.',
    ],
  ] as const)('has its own words and advice: %s', (transport, noun, advice) => {
    const log = startLog();
    log.hear({ ...REFUSED, transport, route: 'mail' }, 3);
    log.pass(60);
    expect(log.take()).toEqual([
      `warn Refused a ${noun} of ${HERALD} to mail: body_mismatch, the data differs. ${advice}`,
      `warn 3 ${noun}s of ${HERALD} refused in the last minute: body_mismatch, the data differs. ${advice}`,
    ]);
  });

  it.each([
    ['messages', 'Could not decide (503) a message'],
    ['jobs', 'Could not decide (503) a job'],
    ['http', 'Answered 503 to a request'],
  ] as const)('is not answered where it cannot be decided: %s', (transport, words) => {
    const log = startLog();
    log.hear({ ...NO_STORE, transport, route: 'mail' });
    expect(log.take()).toEqual([
      `warn ${words} of ${HERALD} to mail: replay_store_unavailable. Check the replay store.`,
    ]);
  });

  it.each([
    ['messages', 'message', "The error is in the log of Nest's exceptions."],
    ['jobs', 'job', 'The error is the reason of the failed job.'],
  ] as const)('is named in every line: %s', (transport, noun, place) => {
    const log = startLog({ successes: 'verbose' });
    const route = 'mail';
    log.hear({ ...SAMPLE_EVENTS.request_accepted, transport, route });
    log.hear({
      ...SAMPLE_EVENTS.request_accepted,
      transport,
      route,
      proofRefusal: 'grant_missing',
    });
    log.hear({ ...SAMPLE_EVENTS.grant_unbound, transport, route });
    log.hear({ ...SAMPLE_EVENTS.request_anonymous, transport, route });
    log.hear({ ...SAMPLE_EVENTS.request_failed, transport, route }, 2);
    log.hear({ ...SAMPLE_EVENTS.request_signed, transport });
    log.hear({ ...SAMPLE_EVENTS.signing_failed, transport });
    log.hear({ ...SAMPLE_EVENTS.signing_failed, transport, code: 'unexpected_error' }, 2);
    log.hear({ ...SAMPLE_EVENTS.lease_lost, transport, route }, 2);
    log.hear({ ...SAMPLE_EVENTS.duplicate_dropped, transport, route });
    log.observer.flush();
    const lines = log.takeAll();
    expect(lines).toHaveLength(16);
    for (const line of lines) expect(line).toMatch(new RegExp(`\\b${noun}s?\\b`));
    for (const line of lines) expect(line).not.toMatch(/request|proxy|gateway/);
    expect(lines.filter((line) => line.includes(place))).toHaveLength(3);
  });

  it('is counted apart from requests, and as a call where there are too many kinds', () => {
    const log = startLog();
    for (const transport of ['http', 'messages', 'jobs'] as const)
      log.hear({ ...EXPIRED, transport }, 2);
    log.pass(60);
    const counts = log.take().slice(3);
    expect(counts.map((line) => line.split(' of ')[0])).toEqual([
      'warn 2 requests',
      'warn 2 messages',
      'warn 2 jobs',
    ]);
    for (let number = 0; number < 120; number++) {
      const transport = number % 2 ? 'jobs' : 'http';
      log.hear({ ...EXPIRED, transport, issuer: `https://caller-${number}.service/` });
    }
    log.take();
    log.pass(60);
    expect(log.take()[0]).toMatch(/^warn \d+ calls of other issuers refused in the last minute/);
  });
});

describe('an outage', () => {
  const keys = {
    begin: KEYS_FAILED,
    request: NO_KEYS,
    end: SAMPLE_EVENTS.keys_refreshed,
    first:
      'warn Cannot fetch the keys of https://herald.service/: the key server cannot be reached (ECONNREFUSED). Cannot decide its calls until a retry succeeds (503 key_unavailable). Start the service that publishes them, or correct jwksUri.',
    minute:
      'warn Still cannot fetch the keys of https://herald.service/, for 60 s: the key server cannot be reached (ECONNREFUSED). Could not decide 1000 calls in the last minute (503 key_unavailable). Start the service that publishes them, or correct jwksUri.',
    over: 'log Can fetch the keys of https://herald.service/ again after 90 s. Could not decide 1001 calls meanwhile (503 key_unavailable).',
  };
  const store = {
    begin: SAMPLE_EVENTS.replay_store_failed,
    request: NO_STORE,
    end: { ...SAMPLE_EVENTS.replay_store_recovered, acceptedUnchecked: 3 },
    first:
      'warn Cannot ask the replay store: Redis is not connected. Cannot decide calls until a retry succeeds (503 replay_store_unavailable). Check the replay store, and the network to it.',
    minute:
      'warn Still cannot ask the replay store, for 60 s: Redis is not connected. Could not decide 1000 calls in the last minute (503 replay_store_unavailable). Check the replay store, and the network to it.',
    over: 'log Can ask the replay store again after 90 s. Could not decide 1001 calls meanwhile (503 replay_store_unavailable), and accepted 3 calls unchecked.',
  };
  const finder = {
    begin: SAMPLE_EVENTS.issuer_look_up_failed,
    request: { ...NO_KEYS, issuer: undefined, issuerTrust: 'unknown' },
    end: SAMPLE_EVENTS.issuer_look_up_recovered,
    first:
      'warn Cannot look up issuers: the finder of trustedIssuers failed (ECONNREFUSED). Cannot decide calls until a retry succeeds (503 key_unavailable). Check what the finder of trustedIssuers asks.',
    minute:
      'warn Still cannot look up issuers, for 60 s: the finder of trustedIssuers failed (ECONNREFUSED). Could not decide 1000 calls in the last minute (503 key_unavailable). Check what the finder of trustedIssuers asks.',
    over: 'log Can look up issuers again after 90 s. Could not decide 1001 calls meanwhile (503 key_unavailable).',
  };

  const answers = {
    begin: { ...KEYS_FAILED, areOfAnswers: true, reason: 'the key server answered 404' },
    request: NOT_SENT,
    end: { ...SAMPLE_EVENTS.keys_refreshed, areOfAnswers: true },
    first:
      'warn Cannot fetch the keys of https://herald.service/ for its answers: the key server answered 404. Not sending it what wants an answer until a retry succeeds (key_unavailable): nobody could verify the answer. A service publishes its keys if it has a signingKey. Check its options, and its URL (jwksUri; by default made from its name).',
    minute:
      'warn Still cannot fetch the keys of https://herald.service/ for its answers, for 60 s: the key server answered 404. Did not send it 1000 messages in the last minute (key_unavailable). A service publishes its keys if it has a signingKey. Check its options, and its URL (jwksUri; by default made from its name).',
    over: 'log Can fetch the keys of https://herald.service/ for its answers again after 90 s. Did not send it 1001 messages meanwhile (key_unavailable).',
  } as const;

  it.each([
    ['the keys of an issuer', keys],
    ['keys of answers', answers],
    ['the replay store', store],
    ['the look-up of issuers', finder],
  ] as const)('of %s has a first line, one each minute, and one when it is over', (_title, row) => {
    const log = startLog();
    log.hear(row.begin);
    expect(log.take()).toEqual([row.first]);
    log.hear(row.begin, 3);
    log.hear(row.request as ServiceAuthEvent, 1000);
    expect(log.take()).toEqual([]);
    log.pass(60);
    expect(log.take()).toEqual([row.minute]);
    log.hear(row.request as ServiceAuthEvent);
    log.pass(30);
    log.hear(row.end);
    expect(log.take()).toEqual([row.over]);
    log.pass(600);
    expect(log.take()).toEqual([]);
    log.hear(row.begin);
    expect(log.take()).toEqual([row.first]);
  });

  it.each([
    ['the keys of an issuer', 'none of its calls', keys.begin, keys.end],
    ['keys of answers', 'no message to it', answers.begin, answers.end],
    ['the replay store', 'no call', store.begin, SAMPLE_EVENTS.replay_store_recovered],
    ['the look-up of issuers', 'no call', finder.begin, finder.end],
  ] as const)(
    'of %s that met no request says so, and has no number',
    (_title, what, begin, end) => {
      const log = startLog();
      log.hear(begin);
      log.pass(60);
      log.hear(end);
      const [, minute, over] = log.take();
      if (begin !== answers.begin) {
        expect(minute).toContain(`. It affected ${what} in the last minute. `);
      }
      expect(over).toMatch(new RegExp(` again after 60 s\\. It affected ${what}\\.$`));
    },
  );

  it('in which the store accepts requests unchecked says so, until some calls cannot be decided', () => {
    const log = startLog();
    log.hear({ ...SAMPLE_EVENTS.replay_store_failed, acceptsUnchecked: true });
    const meanwhile =
      'Redis is not connected. Accepting calls unchecked until a retry succeeds (onUnavailable), except jobs and events that are delivered again: these wait. Check';
    log.pass(60);
    const lines = log.take();
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toContain(meanwhile);
    log.hear({ ...NO_STORE, transport: 'jobs', detail: 'Redis is not connected' }, 4);
    log.pass(60);
    expect(log.take()[0]).toContain('Could not decide 4 calls in the last minute (503 ');
    log.pass(60);
    expect(log.take()[0]).toContain(meanwhile);
  });

  it('in which every request was accepted unchecked says so', () => {
    const log = startLog();
    log.hear(store.begin);
    log.hear({ ...SAMPLE_EVENTS.replay_store_recovered, refused: 0, acceptedUnchecked: 3 });
    expect(log.take().at(-1)).toMatch(/\. Accepted 3 calls unchecked meanwhile\.$/);
  });

  it.each([
    [
      'the key server cannot be reached (ERR_SSL_WRONG_VERSION_NUMBER)',
      'http: with allowInsecureKeyUrls.',
    ],
    [
      'the key server cannot be reached (UNABLE_TO_VERIFY_LEAF_SIGNATURE)',
      'set NODE_EXTRA_CA_CERTS.',
    ],
    ['the key server cannot be reached (DEPTH_ZERO_SELF_SIGNED_CERT)', 'NODE_EXTRA_CA_CERTS.'],
    ['the key server cannot be reached (CERT_HAS_EXPIRED)', 'certificate of the key server.'],
    [
      'the key server cannot be reached (ENOTFOUND)',
      'check the DNS, and its URL (jwksUri; by default made from the name of the service).',
    ],
    ['the key server answered 404', 'and its URL (jwksUri; by default made from its name).'],
    ['the key server answered 500', 'what the key server serves there.'],
    [
      "the set has no key that can be used (keys[0]: write a key whose use is 'sig')",
      'Let its owner publish a JWK Set with a key for signatures.',
    ],
    [
      'the key server did not answer in time',
      'Check its key server (jwksUri), and the network to it.',
    ],
  ])('of keys says what to do: %s', (reason, advice) => {
    const log = startLog();
    log.hear({ ...KEYS_FAILED, reason });
    const [line = ''] = log.take();
    expect(line).toContain(`: ${reason}. `);
    expect(line.endsWith(advice)).toBe(true);
  });

  it.each([
    [
      "OOM command not allowed when used memory > 'maxmemory'.",
      'keep maxmemory-policy noeviction.',
    ],
    ['NOAUTH Authentication required.', 'Correct the user and the password of the Redis client.'],
    ["READONLY You can't write against a read only replica.", 'to the primary.'],
    ['the memory store is full (50 entries), for https://a.service/', 'share a store in Redis.'],
    ['the clock was put back by 60.0 s: the use may be forgotten', 'or restart the service.'],
    [
      'Redis may be another server than before, and may have forgotten the use',
      'It ends by itself, once',
    ],
    ['Redis is not connected', 'Check the replay store, and the network to it.'],
  ])('of the replay store says what to do: %s', (reason, advice) => {
    const log = startLog();
    log.hear({ ...SAMPLE_EVENTS.replay_store_failed, reason });
    const [line = ''] = log.take();
    expect(line).toContain(`: ${reason.replace(/\.$/, '')}. Cannot decide calls`);
    expect(line).toContain(advice);
  });

  it('of the replay store says what the last request met', () => {
    const log = startLog();
    log.hear(SAMPLE_EVENTS.replay_store_failed);
    log.hear(NO_STORE);
    log.hear({
      ...NO_STORE,
      detail: 'Redis may be another server than before, and may have forgotten the use',
    });
    log.pass(60);
    const [first, minute] = log.take();
    expect(first).toContain(': Redis is not connected. ');
    expect(minute).toMatch(/forgotten the use\. Could not decide 2 calls .* It ends by itself/);
  });

  it('has its lines each minute though nothing else happens', () => {
    jest.useFakeTimers();
    try {
      const log = startLog({ now: () => performance.now() });
      log.hear(SAMPLE_EVENTS.replay_store_failed);
      jest.advanceTimersByTime(600_000);
      expect(log.take()).toHaveLength(11);
      log.observer.flush();
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });

  it('says that known keys are used, where they are', () => {
    const log = startLog();
    log.hear(SAMPLE_EVENTS.keys_refresh_failed);
    log.pass(60);
    for (const line of log.take()) {
      expect(line).toContain(
        'Still accepting its calls with the known keys, until they are too old (maxStaleSeconds), then 503.',
      );
    }
  });

  it('has one line a minute where it begins and ends all the time', () => {
    const log = startLog();
    for (let second = 0; second < 600; second++) {
      log.hear(KEYS_FAILED);
      log.hear(SAMPLE_EVENTS.keys_refreshed);
      log.pass(1);
    }
    expect(log.take().length).toBeLessThanOrEqual(12);
  });

  it('of all key servers at once has lines for five, and a number for the others', () => {
    const log = startLog();
    for (let number = 0; number < 40; number++) {
      log.hear({ ...KEYS_FAILED, issuer: `https://caller-${number}.service/` });
    }
    expect(log.take()).toHaveLength(5);
    log.pass(60);
    const [first, ...others] = log.take();
    expect(first).toContain('The same is true of 35 more issuers.');
    expect(others).toHaveLength(4);
  });

  it('of an issuer that is no longer trusted is forgotten', () => {
    const log = startLog();
    log.hear(KEYS_FAILED);
    log.pass(599);
    expect(log.take()).toHaveLength(2);
    log.pass(61);
    log.pass(60);
    expect(log.take()).toEqual([]);
  });
});

it('writes an object where fields are asked for, and the same sentence in it', () => {
  const written: unknown[] = [];
  const recorder = new LogRecorder();
  recorder.warn = (message: unknown) => void written.push(message);
  Logger.overrideLogger(recorder);
  const clock = createClock();
  const observer = new LoggingObserver({ fields: true, now: clock.now });
  for (let count = 0; count < 7; count++) observer.observe(EXPIRED);
  observer.flush();
  const fields = {
    event: 'request_refused',
    transport: 'http',
    code: 'token_expired',
    status: 401,
    detail: '600.0 s ago by this clock',
    issuer: HERALD,
    issuerTrust: 'verified',
    route: '/users/:id',
    durationMilliseconds: 0.4,
  };
  expect(written).toEqual([
    { message: FIRST.replace('warn ', ''), ...fields },
    { message: expect.stringMatching(/^7 requests of/) as string, ...fields, count: 7 },
  ]);
});

it('takes no options that are none', () => {
  const loose = { successes: 'on', fields: 'yes', now: 5, colour: 'red' } as never;
  expect(() => new LoggingObserver(loose)).toThrow(
    expect.objectContaining({
      problems: [
        'colour: unknown option; remove it',
        "successes: write 'verbose' or 'off'",
        'fields: write true or false',
        'now: write a function that answers milliseconds',
      ],
    }),
  );
  expect(() => new LoggingObserver({ successes: 'off', fields: true })).not.toThrow();
});
