import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, mock, test } from 'node:test';
import { pino } from 'pino';
import { ServerList } from '../../../../agent/eureka/server-list.ts';
import type { TxtResolver } from '../../../../agent/eureka/txt-servers.ts';
import { ConfigurationError } from '../../../../common/errors.ts';
import { startDnsStub } from '../../../support/dns-stub.ts';
import type { DnsStub } from '../../../support/dns-stub.ts';
import { eventually } from '../../../support/eventually.ts';

const txt = 'txt+http://u:hidden@txt.eu.test:8761/eureka/';
const never = new AbortController().signal;
let dns: DnsStub;
let lines: string[] = [];
let now = 0;

before(async () => {
  dns = await startDnsStub();
});
after(() => dns.stop());
beforeEach(() => {
  dns.records.clear();
  dns.asked.length = 0;
  lines = [];
  now = 1_000;
  mock.method(performance, 'now', () => now);
});
afterEach(() => mock.restoreAll());

const listOf = (serviceUrls: readonly string[], zone = '', random = 0.5): ServerList =>
  new ServerList({ serviceUrls, zone }, pino({ level: 'info' }, { write }), {
    newResolver: () => dns.newResolver(),
    random: () => random,
  });
const write = (line: string): void => {
  lines.push(line);
};
const hostsOf = (list: ServerList): string[] =>
  list.servers.map(({ url }) => new URL(url).hostname);
const logged = (text: string): number => lines.filter((line) => line.includes(text)).length;

const zones = (): void => {
  dns.records.set('txt.eu.test', [['eu-1a.test', 'eu-1b.test']]);
  dns.records.set('txt.eu-1a.test', [['a1.test', 'a2.test']]);
  dns.records.set('txt.eu-1b.test', [['b1.test'], ['b2.test']]);
};

test('a fixed list stays in its order, each server once, and nothing is looked up', async () => {
  const list = listOf(['http://b/', 'http://a/', 'http://b/']);
  await list.keepFresh(never);
  await list.reconsider(never);
  assert.deepEqual(hostsOf(list), ['b', 'a']);
  assert.deepEqual([...list.preferredUrls], ['http://b/', 'http://a/']);
  assert.deepEqual(dns.asked, []);
  assert.equal(lines.length, 0);
  assert.throws(() => listOf(['http://b/?x']), ConfigurationError);
});

test('a record lists zones, whose records list servers: those of the own zone come first', async () => {
  zones();
  const list = listOf([txt], 'EU-1B');
  assert.equal(list.servers.length, 0);
  await list.keepFresh(never);
  assert.deepEqual(hostsOf(list).slice(0, 2).toSorted(), ['b1.test', 'b2.test']);
  assert.deepEqual(hostsOf(list).slice(2).toSorted(), ['a1.test', 'a2.test']);
  assert.deepEqual([...list.preferredUrls].toSorted(), [
    'http://b1.test:8761/eureka/',
    'http://b2.test:8761/eureka/',
  ]);
  const [first] = list.servers;
  assert.equal(first?.authorization, `Basic ${Buffer.from('u:hidden').toString('base64')}`);
  assert.equal(logged('hidden'), 0);
});

test('without a zone all servers are equal, in random order', async () => {
  zones();
  const orders = new Set<string>();
  for (const random of [0, 0.3, 0.6, 0.99]) {
    const list = listOf([txt], '', random);
    await list.keepFresh(never);
    assert.equal(list.preferredUrls.size, 4);
    orders.add(hostsOf(list).join());
  }
  assert.ok(orders.size > 1);
});

test('what a record lists may be servers itself', async () => {
  dns.records.set('txt.eu.test', [['s1.test 10.0.0.7'], ['no/host']]);
  const list = listOf([txt, 'http://fixed/'], 'eu-1a');
  await list.keepFresh(never);
  assert.deepEqual(hostsOf(list).toSorted(), ['10.0.0.7', 'fixed', 's1.test']);
  assert.equal(hostsOf(list).at(-1), 'fixed');
  assert.equal(list.preferredUrls.size, 3);
  assert.equal(logged('no host name: no/host'), 1);
  assert.ok(!dns.asked.includes('txt.10.0.0.7'));
});

test('an own zone that is not listed is told once', async () => {
  zones();
  const list = listOf([txt], 'eu-1c');
  await list.keepFresh(never);
  assert.equal(list.servers.length, 4);
  assert.equal(list.preferredUrls.size, 0);
  assert.equal(logged('own zone'), 1);
});

test('servers are looked up again after five minutes, a fifth more or less, and only a change shows', async () => {
  zones();
  for (const [random, ms] of [
    [0, 240_000],
    [0.5, 300_000],
    [0.99, 358_800],
  ] as const) {
    const list = listOf([txt], '', random);
    await list.keepFresh(never);
    const { servers } = list;
    dns.asked.length = 0;
    now += ms - 1_000;
    await list.keepFresh(never);
    assert.deepEqual(dns.asked, []);
    now += 1_000;
    await list.keepFresh(never);
    await list.reconsider(never);
    assert.equal(dns.asked.length, 3, 'in the background, and by several only once');
    assert.equal(list.servers, servers);
  }
});

test('a changed record changes the list', async () => {
  zones();
  const list = listOf([txt], 'eu-1a');
  await list.keepFresh(never);
  dns.records.set('txt.eu-1a.test', [['a3.test']]);
  now += 400_000;
  await list.keepFresh(never);
  await eventually(() => assert.equal(hostsOf(list)[0], 'a3.test'));
  assert.equal(list.servers.length, 3);
  assert.equal(logged('were looked up'), 2);
});

test('a failed look-up keeps what is known, is told once, and is tried again soon', async () => {
  zones();
  const list = listOf([txt]);
  await list.keepFresh(never);
  const { servers } = list;
  for (const answer of ['servfail', 'silence', [], [[]], [['no/host']], undefined] as const) {
    if (answer === undefined) dns.records.delete('txt.eu.test');
    else dns.records.set('txt.eu.test', answer);
    now += 400_000;
    await list.keepFresh(never);
    await list.reconsider(never);
    assert.equal(list.servers, servers, String(answer));
    assert.match(list.problem ?? '', /^TXT txt.eu.test: /);
  }
  assert.ok(logged('not every eureka server') >= 3);
  const told = lines.length;
  now += 35_000;
  await list.keepFresh(never);
  await list.reconsider(never);
  assert.equal(lines.length, told, 'the same problem is told once');
  zones();
  now += 35_000;
  await list.keepFresh(never);
  await eventually(() => assert.equal(list.problem, undefined));
  assert.equal(logged('can be looked up again'), 1);
});

test('a zone that cannot be looked up keeps its servers, one that was never known lists none', async () => {
  zones();
  dns.records.set('txt.eu-1b.test', 'servfail');
  const list = listOf([txt]);
  await list.keepFresh(never);
  assert.deepEqual(hostsOf(list).toSorted(), ['a1.test', 'a2.test']);
  zones();
  dns.records.set('txt.eu-1a.test', 'servfail');
  now += 35_000;
  await list.keepFresh(never);
  await eventually(() => assert.equal(list.servers.length, 4));
  assert.match(list.problem ?? '', /txt.eu-1a.test: ESERVFAIL/);
  dns.records.delete('txt.eu-1a.test');
  now += 35_000;
  await list.keepFresh(never);
  await eventually(() => assert.ok(hostsOf(list).includes('eu-1a.test'), 'a server by itself'));
});

test('as long as no server is known every poll looks, but not more often than every 5 s', async () => {
  const list = listOf([txt]);
  await list.keepFresh(never);
  assert.deepEqual(list.servers, []);
  assert.equal(dns.asked.length, 1);
  now += 4_000;
  await list.keepFresh(never);
  await list.reconsider(never);
  assert.equal(dns.asked.length, 1);
  zones();
  now += 1_000;
  await list.keepFresh(never);
  assert.equal(list.servers.length, 4);
});

test('when no server answers the list is looked up again at once', async () => {
  zones();
  const list = listOf([txt]);
  await list.keepFresh(never);
  dns.records.set('txt.eu-1a.test', [['a9.test']]);
  now += 5_000;
  await list.reconsider(never);
  assert.ok(hostsOf(list).includes('a9.test'));
});

test('a look-up ends when the agent stops', async () => {
  dns.records.set('txt.eu.test', 'silence');
  const stop = new AbortController();
  const list = listOf([txt]);
  const looking = list.keepFresh(stop.signal);
  stop.abort();
  await looking;
  assert.equal(list.problem, undefined);
  await listOf([txt]).keepFresh(stop.signal);
  assert.equal(logged('not every'), 0);
});

test('a resolver that fails in its own way is a failed look-up too', async () => {
  const resolver: TxtResolver = {
    resolveTxt: () => Promise.reject(new Error('broken')),
    cancel: () => undefined,
  };
  const list = new ServerList({ serviceUrls: [txt], zone: '' }, pino({ level: 'silent' }), {
    newResolver: () => resolver,
  });
  await list.keepFresh(never);
  assert.equal(list.problem, 'TXT txt.eu.test: failed');
});
