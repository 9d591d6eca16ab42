import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { TestContext } from 'node:test';
import pino from 'pino';
import type { HostAnswer } from '../../../agent/host-lookup.ts';
import { chooseAddress, HostResolver } from '../../../agent/host-resolver.ts';
import { eventually } from '../../support/eventually.ts';

const log = pino({ level: 'silent' });

/** A resolver over a table of names, which runs until the test ends. */
function start(context: TestContext, table: Map<string, HostAnswer | Error>) {
  const asked: string[] = [];
  const counts: number[] = [];
  const resolver = new HostResolver(
    (name) => {
      asked.push(name);
      const answer = table.get(name) ?? new Error(`${name}: ENOTFOUND`);
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
    { unresolvedHosts: (count) => counts.push(count) },
    log,
  );
  const stop = new AbortController();
  const running = resolver.run(stop.signal);
  context.after(async () => {
    stop.abort();
    mock.timers.reset();
    await running;
  });
  return { resolver, asked, counts, signal: stop.signal, running, stop };
}

const found = (address: string, ttlMs = 60_000): HostAnswer => ({ addresses: [address], ttlMs });
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

test('of several addresses the smallest IPv4 is taken, and stays while it is there', () => {
  assert.equal(chooseAddress(['10.0.0.2', 'fd00::1', '10.0.0.1'], undefined), '10.0.0.1');
  assert.equal(chooseAddress(['10.0.0.2', '10.0.0.1'], '10.0.0.2'), '10.0.0.2');
  assert.equal(chooseAddress(['10.0.0.1'], '10.0.0.2'), '10.0.0.1');
  assert.equal(chooseAddress(['FD00::2', 'fd00::1'], undefined), 'fd00::1');
  assert.equal(chooseAddress(['::ffff:10.0.0.1'], '10.0.0.1'), '10.0.0.1');
  assert.equal(chooseAddress(['127.0.0.1', '::1', 'fd00::1'], undefined), 'fd00::1');
  assert.equal(chooseAddress(['::1', '127.0.0.1'], undefined), '127.0.0.1');
  const useless = ['0.0.0.0', '127.0.1.1', 'fe80::1', '224.0.0.1', '::', 'nonsense'];
  assert.equal(chooseAddress(useless, undefined), undefined);
});

test('a name is looked up once for all that have it, in any spelling', async (context) => {
  const { resolver, asked, signal } = start(context, new Map([['web.x', found('10.0.0.1')]]));
  for (const user of ['a', 'b']) resolver.use('Web.X.', user);
  assert.equal(resolver.address('web.x'), undefined);
  if (!resolver.hasChanged) await resolver.changeWake.wait(signal);
  assert.equal(resolver.address('WEB.x'), '10.0.0.1');
  assert.deepEqual([...resolver.takeChanged()], ['a', 'b']);
  assert.deepEqual([...resolver.takeChanged()], []);
  assert.deepEqual(asked, ['web.x']);
  assert.equal(resolver.address('other'), undefined);
  resolver.release('other', 'a');
});

test('a failure keeps the last good address', async (context) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const now = mockNow(context);
  const table = new Map<string, HostAnswer | Error>([['web.x', found('10.0.0.1', 1)]]);
  const { resolver, asked, signal } = start(context, table);
  resolver.use('web.x', 'a');
  if (!resolver.hasChanged) await resolver.changeWake.wait(signal);
  assert.deepEqual([...resolver.takeChanged()], ['a']);
  table.set('web.x', new Error('SERVFAIL'));
  await pass(now, 4000);
  assert.equal(asked.length, 1, 'a short time to live counts as five seconds');
  await pass(now, 2000);
  assert.equal(asked.length, 2);
  assert.equal(resolver.address('web.x'), '10.0.0.1');
  await pass(now, 600_000);
  assert.ok(asked.length > 2, 'it is asked for again');
  assert.equal(resolver.address('web.x'), '10.0.0.1');
  table.set('web.x', found('10.0.0.9'));
  await pass(now, 302_000);
  assert.equal(resolver.address('web.x'), '10.0.0.9');
  assert.deepEqual([...resolver.takeChanged()], ['a']);
});

test('names without an address are counted while somebody has them', async (context) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const now = mockNow(context);
  const table = new Map<string, HostAnswer | Error>([['bad.x', { addresses: ['::'], ttlMs: 9 }]]);
  const { resolver, counts } = start(context, table);
  resolver.use('gone.x', 'a');
  resolver.use('bad.x', 'b');
  await pass(now, 2000);
  assert.deepEqual(counts, [2]);
  resolver.release('gone.x', 'a');
  await pass(now, 1000);
  assert.deepEqual(counts, [2, 1]);
  table.set('bad.x', found('10.0.0.1'));
  await pass(now, 302_000);
  assert.deepEqual(counts, [2, 1, 0]);
});

test('a name that nobody has is remembered for a while, and not asked for', async (context) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const now = mockNow(context);
  const { resolver, asked, signal } = start(context, new Map([['web.x', found('10.0.0.1')]]));
  resolver.use('web.x', 'a');
  if (!resolver.hasChanged) await resolver.changeWake.wait(signal);
  resolver.release('web.x', 'a');
  await pass(now, 500_000);
  assert.equal(asked.length, 1);
  resolver.use('web.x', 'b');
  assert.equal(resolver.address('web.x'), '10.0.0.1');
  resolver.release('web.x', 'b');
  await pass(now, 602_000);
  assert.equal(resolver.address('web.x'), undefined);
});

test('eight names are looked up at a time, new ones before known ones', async (context) => {
  let active = 0;
  let most = 0;
  const waiting: (() => void)[] = [];
  const resolver = new HostResolver(
    async () => {
      active += 1;
      most = Math.max(most, active);
      await new Promise<void>((resolve) => waiting.push(resolve));
      active -= 1;
      return found('10.0.0.1');
    },
    {},
    log,
  );
  const stop = new AbortController();
  const running = resolver.run(stop.signal);
  context.after(async () => {
    stop.abort();
    await running;
  });
  for (let index = 0; index < 20; index += 1) resolver.use(`web-${index}`, `${index}`);
  const tried = resolver.allTried(stop.signal, 60_000);
  await eventually(() => {
    for (const finish of waiting.splice(0)) finish();
    for (let index = 0; index < 20; index += 1) {
      assert.equal(resolver.address(`web-${index}`), '10.0.0.1');
    }
  });
  await tried;
  assert.equal(most, 8);
});

test('a lookup that takes too long is ended, and makes room', async (context) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const now = mockNow(context);
  const asked: AbortSignal[] = [];
  const resolver = new HostResolver(
    (_, signal) => {
      asked.push(signal);
      return new Promise(() => undefined);
    },
    {},
    log,
  );
  const stop = new AbortController();
  const running = resolver.run(stop.signal);
  for (let index = 0; index < 9; index += 1) resolver.use(`web-${index}`, `${index}`);
  await pass(now, 10_000);
  assert.equal(asked.length, 8);
  await pass(now, 12_000);
  assert.equal(asked.filter(({ aborted }) => aborted).length, 8);
  assert.notEqual(asked.at(8), undefined);
  stop.abort();
  await running;
  mock.timers.reset();
});

test('waiting for the first lookups ends by itself, and upon abort', async () => {
  const resolver = new HostResolver(() => new Promise(() => undefined), {}, log);
  const stop = new AbortController();
  const running = resolver.run(stop.signal);
  resolver.use('slow.x', 'a');
  await resolver.allTried(stop.signal, 5);
  assert.equal(resolver.address('slow.x'), undefined);
  const waiting = resolver.allTried(stop.signal, 60_000);
  stop.abort();
  await waiting;
  await running;
});

/** A clock for `performance.now()`, set by hand. */
function mockNow(context: TestContext): { ms: number } {
  const clock = { ms: 1_000_000 };
  const replaced = context.mock.method(performance, 'now', () => clock.ms);
  context.after(() => replaced.mock.restore());
  return clock;
}

/** Lets so much time pass, in steps of half a second. */
async function pass(clock: { ms: number }, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 500) {
    clock.ms += 500;
    mock.timers.tick(500);
    await turns();
  }
}
