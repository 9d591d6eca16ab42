import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { pino } from 'pino';
import { createEurekaSource } from '../../../../agent/eureka/source.ts';
import type { EurekaOptions } from '../../../../agent/eureka/options.ts';
import { ConfigurationError, TransientError } from '../../../../common/errors.ts';
import type { Instance } from '../../../../common/instance.ts';
import type { EurekaRegistryOptions } from '../../../../standalone/eureka-registry/registry.ts';
import { eurekaOptionsForTests, follow } from '../../../conformance/eureka-source-suite.ts';
import type { Followed } from '../../../conformance/eureka-source-suite.ts';
import { eventually } from '../../../support/eventually.ts';
import { startFakeEureka } from '../../../support/fake-eureka.ts';
import type { EurekaFault, FakeEureka, FakeEurekaNode } from '../../../support/fake-eureka.ts';
import { RememberedReport } from '../../../support/followed-source.ts';
import { registrationOf } from '../../../support/eureka-registration.ts';
import { confirmedBy, lossesOf } from '../../../support/verdicts.ts';

let fake: FakeEureka;
let clockOffsetMs = 0;
const { signal } = new AbortController();

async function start(size: number, options: EurekaRegistryOptions = {}): Promise<FakeEurekaNode[]> {
  fake = await startFakeEureka(size, { now: () => Date.now() + clockOffsetMs, ...options });
  return [...fake.nodes];
}

/** A node that has known these for hours, as far as its own clock says. */
async function startOld(size: number, ids: readonly string[]): Promise<FakeEurekaNode[]> {
  clockOffsetMs = -7_200_000;
  const nodes = await start(size);
  for (const id of ids) nodes[0]?.registry.register(registrationOf('SHOP', id));
  clockOffsetMs = 0;
  for (const id of ids) for (const node of nodes) node.registry.heartbeat('SHOP', id);
  for (const node of nodes) node.registry.forgetChanges();
  return nodes;
}

function urls(nodes: readonly FakeEurekaNode[]): readonly string[] {
  return nodes.map((node) => node.serviceUrl);
}

const quick: Partial<EurekaOptions> = { pollIntervalMs: 20, requestTimeoutMs: 2_000 };
const followQuick = (nodes: readonly FakeEurekaNode[], options: Partial<EurekaOptions> = {}) =>
  follow(urls(nodes), { ...quick, ...options });

async function knows(reader: Followed, size: number): Promise<readonly Instance[]> {
  await eventually(() => assert.equal(reader.followed.view.size, size));
  return reader.followed.instances();
}

beforeEach(() => {
  clockOffsetMs = 0;
});
afterEach(async () => {
  await fake.stop();
});

const faults: readonly EurekaFault[] = [
  { kind: 'status', code: 302, location: '/login' },
  { kind: 'status', code: 307 },
  { kind: 'status', code: 401 },
  { kind: 'status', code: 403 },
  { kind: 'status', code: 404 },
  { kind: 'status', code: 406 },
  { kind: 'status', code: 503 },
  { kind: 'empty-body' },
  { kind: 'empty-body', encoding: 'gzip' },
  { kind: 'slow-loris' },
  { kind: 'reset' },
  { kind: 'truncated-gzip' },
  { kind: 'html' },
];

/** Only what never ends has to be waited for. */
const patience = ({ kind }: EurekaFault): number => (kind === 'slow-loris' ? 400 : 5_000);

void describe('no failure of a server is a removal', () => {
  for (const fault of faults) {
    test(JSON.stringify(fault), async () => {
      const [node, ...rest] = await startOld(1, ['1', '2']);
      assert.ok(node !== undefined && rest.length === 0);
      await using reader = followQuick([node], { requestTimeoutMs: patience(fault) });
      const before = await knows(reader, 2);
      node.fail(fault);
      await eventually(() => assert.ok(reader.followed.count('lost') >= 1));
      node.heal();
      node.registry.register(registrationOf('SHOP', '3'));
      await knows(reader, 3);
      assert.deepEqual(reader.followed.removed, []);
      assert.deepEqual(reader.followed.instances().slice(0, 2), before);
      assert.equal(reader.followed.count('suspect'), 0);
    });

    test(`${JSON.stringify(fault)} on one of two servers: the other is read`, async () => {
      const [a, b] = await startOld(2, ['1', '2']);
      assert.ok(a !== undefined && b !== undefined);
      a.fail(fault);
      await using reader = followQuick([a, b], { requestTimeoutMs: patience(fault) });
      await knows(reader, 2);
      assert.deepEqual(reader.report.servers, [b.serviceUrl]);
      assert.equal(reader.followed.count('lost'), 0);
    });
  }
});

void describe('the first thing that is read', () => {
  test('an empty registry is doubted until it has something to say', async () => {
    const [node] = await start(1);
    assert.ok(node !== undefined);
    await using reader = followQuick([node]);
    await eventually(() => assert.ok(reader.followed.count('suspect') >= 2));
    assert.equal(reader.followed.count('snapshot'), 0);
    node.registry.register(registrationOf('SHOP', '1'));
    await knows(reader, 1);
  });

  test('an empty registry is believed after the hold time', async () => {
    const nodes = await start(1);
    await using reader = followQuick(nodes, { emptyHoldMs: 100 });
    await eventually(() => assert.equal(reader.followed.count('snapshot'), 1));
    assert.ok(reader.followed.count('suspect') >= 1);
  });

  test('an empty registry is believed when another server says the same', async () => {
    const nodes = await start(2);
    await using reader = followQuick(nodes);
    await eventually(() => assert.equal(reader.followed.count('snapshot'), 1));
    assert.equal(reader.followed.count('suspect'), 0);
  });

  test('a server that has something to say is followed instead of an empty one', async () => {
    const [a, b] = await start(2);
    assert.ok(a !== undefined && b !== undefined);
    b.isReplicating = false;
    b.registry.register(registrationOf('SHOP', '1'));
    await using reader = followQuick([a, b]);
    await knows(reader, 1);
    assert.deepEqual(reader.report.servers, [b.serviceUrl]);
  });

  test('an empty body is never an empty registry, however long it lasts', async () => {
    const [node] = await start(1);
    assert.ok(node !== undefined);
    node.fail({ kind: 'empty-body' });
    await using reader = followQuick([node], { emptyHoldMs: 0 });
    await eventually(() => assert.ok(reader.followed.count('suspect') >= 2));
    assert.equal(reader.followed.count('snapshot'), 0);
  });
});

void describe('full and delta reads', () => {
  const paths = (node: FakeEurekaNode): readonly string[] => node.requests.map(({ path }) => path);

  test('after the first full read only deltas are fetched', async () => {
    const [node] = await startOld(1, ['1']);
    assert.ok(node !== undefined);
    await using reader = followQuick([node]);
    await knows(reader, 1);
    node.registry.register(registrationOf('SHOP', '2'));
    await knows(reader, 2);
    assert.equal(paths(node).filter((path) => path === '/eureka/apps').length, 1);
  });

  test('a status that changed silently is found by the census', async () => {
    const [node] = await startOld(1, ['1', '2']);
    assert.ok(node !== undefined);
    await using reader = followQuick([node]);
    await knows(reader, 2);
    node.registry.heartbeat('SHOP', '1', { overridden: 'OUT_OF_SERVICE' });
    // Something else rebuilds the caches.
    node.registry.register(registrationOf('SHOP', '3'));
    await eventually(() =>
      assert.equal(reader.followed.view.get('SHOP/1')?.status, 'OUT_OF_SERVICE'),
    );
    assert.equal(paths(node).filter((path) => path === '/eureka/apps').length, 2);
  });

  test('full reads are repeated after their interval', async () => {
    const [node] = await startOld(1, ['1']);
    assert.ok(node !== undefined);
    await using reader = followQuick([node], { fullIntervalMs: 60 });
    await knows(reader, 1);
    await eventually(() =>
      assert.ok(paths(node).filter((path) => path === '/eureka/apps').length >= 3),
    );
    assert.ok(paths(node).includes('/eureka/apps/delta'));
  });

  test('a server that refuses deltas is read in full', async () => {
    const [node] = await start(1, { disableDelta: true });
    assert.ok(node !== undefined);
    node.registry.register(registrationOf('SHOP', '1'));
    await using reader = followQuick([node]);
    await knows(reader, 1);
    node.registry.register(registrationOf('SHOP', '2'));
    await knows(reader, 2);
    node.registry.cancel('SHOP', '1');
    await knows(reader, 1);
    assert.equal(paths(node).filter((path) => path === '/eureka/apps/delta').length, 1);
    assert.equal(reader.followed.count('lost'), 0);
  });

  test('a broken delta body leads to a full read', async () => {
    const [node] = await startOld(1, ['1']);
    assert.ok(node !== undefined);
    await using reader = followQuick([node]);
    await knows(reader, 1);
    node.fail({ kind: 'truncated-gzip' }, /delta/);
    node.registry.register(registrationOf('SHOP', '2'));
    await knows(reader, 2);
    assert.equal(reader.followed.count('lost'), 0);
  });
});

void describe('records that cannot be understood', () => {
  test('one is left out, counted once, and costs the others nothing', async () => {
    const [node] = await startOld(1, ['1', '2']);
    assert.ok(node !== undefined);
    node.fail({ kind: 'broken-record', id: '1' });
    await using reader = followQuick([node], { fullIntervalMs: 60 });
    await knows(reader, 1);
    await eventually(() => assert.ok(reader.followed.events.length > 10));
    assert.deepEqual(reader.report.drops, [{ reason: 'malformed', record: 'SHOP/1' }]);
    node.heal();
    await knows(reader, 2);
  });

  test('one that was understood before stays as it was', async () => {
    const [node] = await startOld(1, ['1', '2']);
    assert.ok(node !== undefined);
    await using reader = followQuick([node], { fullIntervalMs: 60 });
    const before = await knows(reader, 2);
    node.fail({ kind: 'broken-record', id: '1' });
    await eventually(() => assert.equal(reader.report.drops.length, 1));
    assert.deepEqual(reader.followed.instances(), before);
    assert.deepEqual(reader.followed.removed, []);
  });
});

void describe('what counts as gone', () => {
  test('a server that lost its memory cannot say who is gone', async () => {
    const [node] = await startOld(1, ['1', '2', '3']);
    assert.ok(node !== undefined);
    await using reader = followQuick([node]);
    const before = await knows(reader, 3);
    await node.restartEmpty();
    node.registry.register(registrationOf('SHOP', '2'));
    await knows(reader, 1);
    assert.deepEqual([...(await confirmedBy(reader.source, before, 'single', signal))], []);
    assert.ok(reader.followed.count('snapshot') >= 2);
  });

  test('a server that emptied is reported as it says, and not believed when it is young', async () => {
    const [node] = await startOld(1, ['1', '2']);
    assert.ok(node !== undefined);
    await using reader = followQuick([node]);
    const before = await knows(reader, 2);
    await node.restartEmpty();
    await knows(reader, 0);
    assert.deepEqual([...(await confirmedBy(reader.source, before, 'single', signal))], []);
    assert.deepEqual([...(await confirmedBy(reader.source, before, 'mass', signal))], []);
  });

  test('a server that was away for a moment and kept its memory is believed', async () => {
    const [node] = await startOld(1, ['1', '2']);
    assert.ok(node !== undefined);
    await using reader = followQuick([node]);
    const before = await knows(reader, 2);
    await node.stop();
    await eventually(() => assert.ok(reader.followed.count('lost') >= 1));
    await node.start();
    node.registry.cancel('SHOP', '1');
    await knows(reader, 1);
    const gone = await confirmedBy(reader.source, before, 'single', signal);
    assert.deepEqual([...gone], ['SHOP/1']);
  });

  test('a mass needs the word of another, older server', async () => {
    const [a, b] = await startOld(2, ['1', '2', '3']);
    assert.ok(a !== undefined && b !== undefined);
    await using reader = followQuick([a, b]);
    const before = await knows(reader, 3);
    a.isReplicating = false;
    a.registry.cancel('SHOP', '1');
    a.registry.cancel('SHOP', '2');
    await knows(reader, 1);
    const verdicts = await reader.source.confirmLosses(lossesOf(before), 'mass', signal);
    assert.deepEqual([...verdicts.confirmed], []);
    assert.deepEqual([...verdicts.refuted].sort(), ['SHOP/1', 'SHOP/2', 'SHOP/3']);
    assert.equal(verdicts.testimony, `${b.serviceUrl} lists 3 of 3 as UP`);
    b.registry.applyReplication({ kind: 'cancel', app: 'SHOP', id: '1' });
    await eventually(async () => {
      const gone = await confirmedBy(reader.source, before, 'mass', signal);
      assert.deepEqual([...gone], ['SHOP/1']);
    });
    await b.restartEmpty();
    b.registry.register(registrationOf('SHOP', '3'));
    await eventually(async () => {
      const young = await reader.source.confirmLosses(lossesOf(before), 'mass', signal);
      assert.deepEqual([...young.confirmed], []);
      assert.match(young.testimony ?? '', /young/);
    });
  });

  test('after a switch to a young server the other one is asked', async () => {
    const [a, b, c] = await startOld(3, ['1', '2']);
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    await using reader = followQuick([a, b, c]);
    const before = await knows(reader, 2);
    await b.restartEmpty();
    b.isReplicating = false;
    b.registry.register(registrationOf('SHOP', '1'));
    await a.stop();
    await eventually(() => assert.equal(reader.report.servers.at(-1), b.serviceUrl));
    await knows(reader, 1);
    assert.deepEqual([...(await confirmedBy(reader.source, before, 'single', signal))], []);
    c.registry.applyReplication({ kind: 'cancel', app: 'SHOP', id: '2' });
    await eventually(async () => {
      const gone = await confirmedBy(reader.source, before, 'single', signal);
      assert.deepEqual([...gone], ['SHOP/2']);
    });
  });

  test('of a server that denies what it lists, a new list decides', async () => {
    const [node] = await startOld(1, ['1', '2', '3']);
    assert.ok(node !== undefined);
    await using reader = followQuick([node]);
    const before = await knows(reader, 3);
    node.registry.cancel('SHOP', '1');
    await knows(reader, 2);
    node.fail({ kind: 'status', code: 404 }, /apps\/SHOP\//);
    const gone = await confirmedBy(reader.source, before.slice(0, 2), 'single', signal);
    assert.deepEqual([...gone], ['SHOP/1']);
    node.fail({ kind: 'status', code: 503 }, /apps\/SHOP\//);
    await assert.rejects(confirmedBy(reader.source, before, 'single', signal), TransientError);
  });
});

void describe('ids that a server cannot be asked about', () => {
  test('a new list decides about them', async () => {
    const [node] = await startOld(1, ['a/1', 'a/2', '3']);
    assert.ok(node !== undefined);
    node.fail({ kind: 'status', code: 400 }, /%2F/);
    await using reader = followQuick([node]);
    const before = await knows(reader, 3);
    node.registry.cancel('SHOP', 'a/1');
    await knows(reader, 2);
    const gone = await confirmedBy(reader.source, before, 'single', signal);
    assert.deepEqual([...gone], ['SHOP/a/1']);
  });
});

test('service URLs that cannot be used are refused before anything runs', async () => {
  await start(1);
  const options = { ...eurekaOptionsForTests, serviceUrls: ['eureka:8761'] };
  const log = pino({ level: 'silent' });
  assert.throws(() => createEurekaSource(options, new RememberedReport(), log), ConfigurationError);
});

test('what cannot be asked yet is a passing failure', async () => {
  await start(1);
  const options = { ...eurekaOptionsForTests, serviceUrls: ['http://127.0.0.1:1/eureka/'] };
  const source = createEurekaSource(options, new RememberedReport(), pino({ level: 'silent' }));
  await assert.rejects(confirmedBy(source, [], 'single', signal), TransientError);
});

test('passwords reach no event, no log and no report', async () => {
  const [node] = await startOld(1, ['1']);
  assert.ok(node !== undefined);
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
  const report = new RememberedReport();
  const serviceUrls = [node.serviceUrl.replace('http://', 'http://user:hidden@')];
  const source = createEurekaSource(
    { ...eurekaOptionsForTests, ...quick, serviceUrls },
    report,
    log,
  );
  const stop = new AbortController();
  const events: unknown[] = [];
  for await (const event of source.watch(stop.signal)) {
    events.push(event);
    if (events.length === 2) node.fail({ kind: 'status', code: 401 });
    if (events.length === 4) stop.abort();
  }
  const all = JSON.stringify([events, lines, report]);
  assert.doesNotMatch(all, /hidden/);
  assert.match(all, /credentials missing or refused/);
});
