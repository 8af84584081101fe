import { jest } from '@jest/globals';
import { describeInBrowser } from './chromium-binary.js';
import { PageVisit } from './page-visit.js';

// A busy machine is no failure: the browser, and the processes of the sample, take their time there.
jest.setTimeout(600_000);

const OPERATOR = 'https://census.service/user/21/';
const SOMEONE_ELSE = 'https://census.service/user/7/';

describeInBrowser('the switches of the page', () => {
  let visit: PageVisit;
  beforeAll(async () => {
    visit = await PageVisit.start();
  });
  afterAll(async () => await visit.close());
  beforeEach(async () => await visit.open());

  const downBoxes = async (): Promise<string[]> =>
    await visit.tab.evaluate(
      `[...document.querySelectorAll('.party.down')].map((box) => box.dataset.party)`,
    );

  it('goes on with known keys when the key server is off, refuses after a restart, and recovers', async () => {
    expect(await visit.turn('key-server', 'off')).toEqual(['200']);
    await visit.tab.until(
      `document.querySelector('[data-service=herald] .keys').textContent === 'its keys cannot be fetched'`,
    );
    expect(await downBoxes()).toEqual([]);
    expect(await visit.turn('key-server', 'restart-census')).toEqual(['503 key_unavailable']);
    expect(await visit.textOf('#switch-list .result')).toContain('cannot fetch one');
    await visit.playUntil('Step 8 of 8');
    expect(await visit.textOf('#diagram')).toContain('503 key_unavailable');
    expect(await visit.turn('key-server', 'on')).toEqual(['200']);
  });

  it('refuses a replay at a second Census with one memory, and accepts it with two', async () => {
    expect(await visit.turn('replica', 'shared')).toEqual(['200', '401 token_replayed']);
    expect(await visit.textOf('[data-switch=replica] .position')).toBe('two, one memory');
    expect(await visit.turn('replica', 'apart')).toEqual(['200', '200']);
    expect(await visit.textOf('#switch-list .result')).toContain('replayStore');
    expect(await visit.turn('replica', 'stop')).toEqual([]);
    expect(await visit.textOf('[data-switch=replica] .position')).toBe('one process');
  });

  it.each([
    ['census', '502', 'Census is stopped. Herald gets no answer'],
    ['another', '502', 'another.service is stopped. Edge gets no answer'],
    ['edge', 'no answer', 'Edge is stopped: the browser gets no answer'],
  ])('shows %s as stopped, and as up when it is started', async (name, verdict, reason) => {
    expect(await visit.turn('service', 'stop', name)).toEqual([verdict]);
    expect(await visit.textOf('#switch-list .result')).toContain(reason);
    await visit.untilState(name, 'stopped');
    expect(await visit.textOf(`[data-service=${name}]`)).not.toMatch(/key|keys/);
    expect(await downBoxes()).toEqual([name]);
    expect(await visit.turn('service', 'start', name)).toEqual(['201']);
    await visit.untilState(name, 'up');
    expect(await downBoxes()).toEqual([]);
  });

  it('gives attempts on a stopped service no answer', async () => {
    await visit.turn('service', 'stop', 'herald');
    expect(await visit.attempt('replay')).toBe('no answer');
    await visit.playUntil('Step 5 of 5');
    expect(await visit.textOf('#diagram')).toContain('no answer: stopped');
    expect(await visit.turn('service', 'start', 'herald')).toEqual(['201']);
    expect(await visit.attempt('replay')).toBe('401 token_replayed');
  });

  it('kills a service, which is started again by itself', async () => {
    const verdicts = await visit.turn('service', 'kill', 'census');
    expect(verdicts.at(-1)).toBe('201');
    expect(await visit.textOf('#switch-list .result')).toMatch(
      /Process \d+ was killed. Census came back as process \d+/,
    );
    await visit.untilState('census', 'up');
  });

  it('calls for another user, who may not do the same', async () => {
    expect(await visit.turn('user', 'call', OPERATOR)).toEqual(['201']);
    expect(await visit.turn('user', 'call', SOMEONE_ELSE)).toEqual(['403']);
    expect(await visit.textOf('#switch-list .result')).toContain('Census answered 403');
  });

  it('rotates a key without a failed call, and refuses the old one after that', async () => {
    const before = await visit.textOf('[data-service=herald] .keys');
    expect(await visit.turn('rotation', 'publish')).toEqual(['201']);
    expect(await visit.turn('rotation', 'switch')).toEqual(['201', '200']);
    expect(await visit.textOf('[data-switch=rotation] .position')).toBe('step 2 done');
    expect(await visit.turn('rotation', 'withdraw')).toEqual(['401 key_unknown', '201']);
    expect(await visit.textOf('[data-service=herald] .keys')).not.toBe(before);
    expect(await visit.attempt('user-absent')).toBe('403 grant_missing');
    expect(await visit.attempt('user-present')).toBe('200');
  });

  it('says that the sample does not answer when it has ended', async () => {
    expect(await visit.sample.interrupt('SIGTERM')).toBe(0);
    await visit.tab.until(`document.querySelector('#trouble').hidden === false`);
    expect(await visit.textOf('#trouble')).toBe(
      'The sample does not answer. Start it again: npm start.',
    );
  });
});
