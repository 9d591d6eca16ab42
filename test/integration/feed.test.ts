import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterEach, test } from 'node:test';
import { credentials, status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { RegistryAgent } from '../../agent/agent.ts';
import type { RegistryAgentOptions } from '../../agent/agent.ts';
import type { FeedAccess } from '../../agent/feed-credentials.ts';
import type { AgentObserver } from '../../agent/observer.ts';
import type { Source, SourceEvent, SuspectedLoss, Verdicts } from '../../agent/source.ts';
import type { AgentIdentity, Contribution, RegistryHealth } from '../../aggregator/contribution.ts';
import type { ContributionSink, Receipt } from '../../aggregator/contribution.ts';
import { FeedServer } from '../../aggregator/feed-server.ts';
import type { FeedServerOptions } from '../../aggregator/feed-server.ts';
import type { Change, Instance } from '../../common/instance.ts';
import type { RegistryId } from '../../common/registry.ts';
import { Certificates } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { RawFeedAgent } from '../support/feed-agent.ts';
import { verdictsOf } from '../support/verdicts.ts';

const log = pino({ level: 'silent' });
const registry = 'dc1/main' as RegistryId;

/** A catalog that keeps what it is told, and what happened. */
class MemorySink implements ContributionSink {
  readonly instances = new Map<string, Instance>();
  readonly events: string[] = [];
  readonly receipts: Receipt[] = [];
  readonly closed: string[] = [];
  /** What was known of the registry when each snapshot came. */
  readonly statesAtSnapshots: (RegistryHealth['state'] | undefined)[] = [];
  agent: AgentIdentity | undefined;
  health: RegistryHealth | undefined;
  isOpen = false;
  hasBase = true;

  isServed(): boolean {
    return true;
  }

  open(agent: AgentIdentity): Contribution {
    this.agent = agent;
    this.isOpen = true;
    this.events.push('open');
    return Object.assign(this.contribution(), { hasBase: this.hasBase });
  }

  private contribution(): Omit<Contribution, 'hasBase'> {
    return {
      replace: (instances, receipt) => {
        this.instances.clear();
        for (const [id, instance] of instances) this.instances.set(id, instance);
        this.receipts.push(receipt);
        this.statesAtSnapshots.push(this.health?.state);
        this.events.push('replace');
        return Promise.resolve();
      },
      apply: (changes, receipt) => {
        for (const change of changes) {
          if (change.kind === 'removal') this.instances.delete(change.id);
          else this.instances.set(change.instance.id, change.instance);
        }
        this.receipts.push(receipt);
        this.events.push('apply');
      },
      health: (health) => (this.health = health),
      close: (reason) => {
        this.isOpen = false;
        this.closed.push(reason);
      },
    };
  }

  count(event: string): number {
    return this.events.filter((seen) => seen === event).length;
  }
}

/** A source that says what a test tells it to, and confirms whatever it has removed. */
class ScriptedSource implements Source {
  readonly instances = new Map<string, Instance>();
  private readonly queue: SourceEvent[] = [];
  private wake: () => void = () => undefined;

  async *watch(signal: AbortSignal): AsyncIterable<SourceEvent> {
    signal.addEventListener('abort', () => this.wake());
    while (!signal.aborted) {
      const event = this.queue.shift();
      if (event !== undefined) yield event;
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  confirmLosses(losses: readonly SuspectedLoss[]): Promise<Verdicts> {
    const ids = losses.map(({ instance }) => instance.id);
    return Promise.resolve(verdictsOf(ids.filter((id) => !this.instances.has(id))));
  }

  push(event: SourceEvent): void {
    this.queue.push(event);
    this.wake();
  }

  snapshot(instances: readonly Instance[]): void {
    this.instances.clear();
    for (const instance of instances) this.instances.set(instance.id, instance);
    const copy = new Map(this.instances);
    this.push({ kind: 'snapshot', instances: copy, observedAt: performance.now() });
  }

  upsert(...instances: readonly Instance[]): void {
    for (const instance of instances) this.instances.set(instance.id, instance);
    const changes = instances.map((instance): Change => ({ kind: 'upsert', instance }));
    this.push({ kind: 'changes', changes, observedAt: performance.now() });
  }

  remove(...ids: readonly string[]): void {
    for (const id of ids) this.instances.delete(id);
    const changes = ids.map((id): Change => ({ kind: 'removal', id }));
    this.push({ kind: 'changes', changes, observedAt: performance.now() });
  }
}

/** A TCP proxy whose connections a test can cut. */
class Proxy {
  private readonly sockets = new Set<Socket>();
  private readonly server = createServer((near) => {
    const far = connect(this.target, '127.0.0.1');
    if (this.isClosed) near.destroy();
    for (const socket of [near, far]) {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        near.destroy();
        far.destroy();
        this.sockets.delete(socket);
      });
    }
    near.pipe(far).pipe(near);
  });
  private readonly target: number;
  isClosed = false;

  constructor(target: number) {
    this.target = target;
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    running.push({
      stop: () => {
        this.stop();
        return Promise.resolve();
      },
    });
    return (this.server.address() as AddressInfo).port;
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  stop(): void {
    this.cut();
    this.server.close();
  }
}

interface Running {
  stop(): Promise<void>;
}

const running: Running[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((part) => part.stop()));
});

function keepRunning(run: (signal: AbortSignal) => Promise<void>): Running {
  const abort = new AbortController();
  const done = run(abort.signal);
  const part = {
    stop: async () => {
      abort.abort();
      await done;
    },
  };
  running.push(part);
  return part;
}

interface Aggregator extends Running {
  readonly sink: MemorySink;
  readonly port: number;
  readonly server: FeedServer;
  readonly resyncs: string[];
}

async function startAggregator(options: Partial<FeedServerOptions> = {}): Promise<Aggregator> {
  const sink = new MemorySink();
  const resyncs: string[] = [];
  const nothing = (): void => undefined;
  const observer = {
    ...{ connected: nothing, disconnected: nothing, refused: nothing, received: nothing },
    ...{ throttled: nothing, leftOut: nothing },
    resync: (_registry: string, cause: string) => void resyncs.push(cause),
  };
  const all = { host: '127.0.0.1', port: 0, clients: [], ...options };
  const server = new FeedServer(all, sink, observer, log);
  const port = await new Promise<number>((resolve, reject) => {
    const part = keepRunning((signal) =>
      server
        .run(signal, (address) => resolve(address.port))
        .catch((error: unknown) => {
          reject(error instanceof Error ? error : new Error(String(error)));
        }),
    );
    started = part;
  });
  return { sink, port, server, resyncs, stop: () => started.stop() };
}
let started: Running = { stop: () => Promise.resolve() };

class Counts implements AgentObserver {
  readonly lags: number[] = [];
  readonly roundTrips: number[] = [];
  resumed = 0;
  connections = 0;
  guards = 0;
  observedToSent(_aggregator: string, seconds: number): void {
    this.lags.push(seconds);
  }
  roundTrip(_aggregator: string, seconds: number): void {
    this.roundTrips.push(seconds);
  }
  connected(_aggregator: string, isResumed: boolean): void {
    this.connections += 1;
    if (isResumed) this.resumed += 1;
  }
  guardActivated(): void {
    this.guards += 1;
  }
  sent(): void {}
  disconnected(): void {}
  forgotten(): void {}
  dropped(): void {}
  census(): void {}
}

interface TestAgent extends Running {
  readonly agent: RegistryAgent;
  readonly source: ScriptedSource;
  readonly counts: Counts;
}

function startAgent(
  ports: readonly number[],
  access: FeedAccess = {},
  options: Partial<RegistryAgentOptions> = {},
): TestAgent {
  const source = new ScriptedSource();
  const counts = new Counts();
  const all: RegistryAgentOptions = {
    ...{ registry, kind: 'eureka', agentId: 'agent-1', datacenter: 'dc1' },
    ...{ network: '', defaultLocality: '', software: 'test' },
    feed: { aggregators: ports.map((port) => ({ host: '127.0.0.1', port })), access },
    ...options,
  };
  const agent = new RegistryAgent(all, source, counts, log);
  const part = keepRunning((signal) => agent.run(signal));
  return { agent, source, counts, stop: () => part.stop() };
}

function instance(id: string, fields: Partial<Instance> = {}): Instance {
  return {
    id,
    service: { kind: 'application', name: `service-${id.length}`, group: '', version: '' },
    address: '10.0.0.1',
    ports: [{ protocol: 'http', number: 8080 }],
    labels: { zone: 'a' },
    locality: '',
    weight: 0,
    status: 'UP',
    ...fields,
  };
}

function assertEqualSets(sink: MemorySink, source: ScriptedSource): void {
  assert.deepStrictEqual(
    [...sink.instances.values()].toSorted(byId),
    [...source.instances.values()].toSorted(byId),
  );
}

function byId(left: Instance, right: Instance): number {
  return left.id < right.id ? -1 : 1;
}

test('what a registry says arrives, with who said it and how old it is', async () => {
  const aggregator = await startAggregator();
  const { source, counts, agent } = startAgent([aggregator.port], {}, { network: 'net-1' });
  source.snapshot([instance('a'), instance('bb'), instance('cc')]);
  await eventually(() => assertEqualSets(aggregator.sink, source));
  assert.equal(aggregator.sink.agent?.network, 'net-1');
  source.upsert(instance('a', { weight: 7 }), instance('d'));
  source.remove('bb');
  await eventually(() => assertEqualSets(aggregator.sink, source));
  assert.equal(aggregator.sink.count('replace'), 1);
  await eventually(() => assert.equal(aggregator.sink.health?.state, 'live'));
  assert.ok(counts.lags.length > 0 && counts.roundTrips.length > 0);
  assert.ok(aggregator.sink.receipts.every(({ ageMs }) => ageMs >= 0));
  await eventually(() =>
    assert.equal(agent.status().aggregators[0]?.accepted, agent.status().sequence),
  );
});

test('a lost registry is reported and withdraws nothing', async () => {
  const aggregator = await startAggregator();
  const { source } = startAgent([aggregator.port]);
  source.snapshot([instance('a')]);
  await eventually(() => assert.equal(aggregator.sink.instances.size, 1));
  source.push({ kind: 'lost', reason: 'eureka dc1/main: GET apps: ECONNREFUSED' });
  await eventually(() => assert.match(aggregator.sink.health?.reason ?? '', /ECONNREFUSED/));
  assert.equal(aggregator.sink.health?.state, 'lost');
  assert.equal(aggregator.sink.instances.size, 1);
});

test('that parts of a first snapshot are missing is known before it comes', async () => {
  const { sink, port } = await startAggregator();
  const { source } = startAgent([port]);
  await eventually(() => assert.equal(sink.health?.state, 'lost'));
  source.push({
    kind: 'snapshot',
    instances: new Map([['a', instance('a')]]),
    observedAt: performance.now(),
    unread: 'no permission',
  });
  await eventually(() => assert.deepEqual(sink.statesAtSnapshots, ['suspect']));
  assert.equal(sink.health?.reason, 'no permission');
  source.upsert(instance('b'));
  await eventually(() => assert.equal(sink.health?.state, 'live'));
});

test('an agent that has not read its registry says nothing but that', async () => {
  const aggregator = await startAggregator();
  startAgent([aggregator.port]);
  await eventually(() => assert.equal(aggregator.sink.health?.reason, 'not read yet'));
  assert.deepStrictEqual(aggregator.sink.events, ['open']);
});

test('after a cut the agent resumes without a snapshot', async () => {
  const aggregator = await startAggregator();
  const proxy = new Proxy(aggregator.port);
  const { source, counts } = startAgent([await proxy.listen()]);
  source.snapshot([instance('a'), instance('b')]);
  await eventually(() => assertEqualSets(aggregator.sink, source));
  proxy.isClosed = true;
  proxy.cut();
  await eventually(() => assert.equal(aggregator.sink.isOpen, false));
  source.upsert(instance('a', { weight: 3 }));
  source.remove('b');
  proxy.isClosed = false;
  await eventually(() => assertEqualSets(aggregator.sink, source));
  assert.equal(aggregator.sink.count('replace'), 1);
  assert.equal(counts.resumed, 1);
});

test('an agent whose contribution the catalog has discarded starts over', async () => {
  const aggregator = await startAggregator();
  const proxy = new Proxy(aggregator.port);
  const { source } = startAgent([await proxy.listen()]);
  source.snapshot([instance('a')]);
  await eventually(() => assertEqualSets(aggregator.sink, source));
  aggregator.sink.hasBase = false;
  proxy.cut();
  await eventually(() => assert.equal(aggregator.sink.count('replace'), 2));
});

test('an agent whose log was overrun meanwhile sends a snapshot', async () => {
  const aggregator = await startAggregator();
  const proxy = new Proxy(aggregator.port);
  const { source, counts } = startAgent([await proxy.listen()], {}, { outbox: { batchesMax: 3 } });
  source.snapshot([instance('a')]);
  await eventually(() => assertEqualSets(aggregator.sink, source));
  proxy.isClosed = true;
  proxy.cut();
  await eventually(() => assert.equal(aggregator.sink.isOpen, false));
  for (let weight = 1; weight <= 10; weight++) source.upsert(instance('a', { weight }));
  proxy.isClosed = false;
  await eventually(() => assertEqualSets(aggregator.sink, source));
  assert.equal(aggregator.sink.count('replace'), 2);
  assert.equal(counts.resumed, 0);
});

test('every aggregator is fed, and one that is away costs the others nothing', async () => {
  const [one, two] = [await startAggregator(), await startAggregator()];
  const { source } = startAgent([one.port, two.port]);
  source.snapshot([instance('a')]);
  await eventually(() => assertEqualSets(one.sink, source));
  await eventually(() => assertEqualSets(two.sink, source));
  await two.stop();
  source.upsert(instance('b'));
  await eventually(() => assertEqualSets(one.sink, source));
  assert.equal(two.sink.instances.size, 1);
  assert.match(two.sink.closed[0] ?? '', /stopping/);
});

test('an aggregator that is reached at two addresses is fed at one of them', async () => {
  const aggregator = await startAggregator();
  const proxy = new Proxy(aggregator.port);
  const { source, agent } = startAgent([aggregator.port, await proxy.listen()]);
  source.snapshot([instance('a')]);
  const states = (): string[] =>
    agent
      .status()
      .aggregators.map(({ state }) => state)
      .toSorted();
  await eventually(() => assert.deepStrictEqual(states(), ['duplicate', 'welcomed']));
  await eventually(() => assertEqualSets(aggregator.sink, source));
});

test('a restarted agent has a new epoch and starts over', async () => {
  const aggregator = await startAggregator();
  const first = startAgent([aggregator.port]);
  first.source.snapshot([instance('a'), instance('b')]);
  await eventually(() => assertEqualSets(aggregator.sink, first.source));
  const epoch = aggregator.sink.agent?.epoch;
  await first.stop();
  await eventually(() => assert.equal(aggregator.sink.isOpen, false));
  assert.equal(aggregator.sink.instances.size, 2);
  const second = startAgent([aggregator.port]);
  second.source.snapshot([instance('b'), instance('c')]);
  await eventually(() => assertEqualSets(aggregator.sink, second.source));
  assert.notEqual(aggregator.sink.agent?.epoch, epoch);
  assert.equal(aggregator.sink.count('replace'), 2);
});

test('a mass removal is held until an operator releases it', async () => {
  const aggregator = await startAggregator();
  const { source, agent, counts } = startAgent([aggregator.port], {}, { emptyServiceMs: 0 });
  const ids = Array.from({ length: 10 }, (_, index) => `i${index}`);
  source.confirmLosses = () => Promise.resolve(verdictsOf([]));
  source.snapshot(ids.map((id) => instance(id)));
  await eventually(() => assert.equal(aggregator.sink.instances.size, 10));
  source.snapshot([instance('other')]);
  await eventually(() => assert.equal(aggregator.sink.instances.size, 11));
  assert.equal(agent.status().heldRemovals, 10);
  assert.equal(counts.guards, 1);
  assert.equal(agent.release(), 10);
  await eventually(() => assertEqualSets(aggregator.sink, source));
});

test('a difference that only the digest shows leads to a resync', async () => {
  const aggregator = await startAggregator();
  const raw = new RawFeedAgent({ port: aggregator.port, hello: { sequence: 1 } });
  raw.snapshot([instance('a')]);
  raw.delta([instance('b')]);
  await eventually(() =>
    assert.deepStrictEqual(
      raw.of('accepted').map((m) => m.sequence),
      [1, 2],
    ),
  );
  raw.heartbeat({ heartbeat: 1 });
  raw.heartbeat({ heartbeat: 2, digest: Buffer.alloc(8) });
  await eventually(() => assert.equal(raw.of('resync').length, 1));
  assert.deepStrictEqual(
    raw.of('echo').map((m) => m.heartbeat),
    [1, 2],
  );
  raw.delta([instance('ignored')]);
  raw.snapshot([instance('c')]);
  await eventually(() => assert.deepStrictEqual([...aggregator.sink.instances.keys()], ['c']));
  assert.deepStrictEqual(aggregator.resyncs, ['digest']);
  raw.close();
});

test('a stream that breaks a rule ends with a text that names it', async () => {
  const aggregator = await startAggregator({ streamsMax: 3, instancesMax: 2 });
  const cases: [(raw: RawFeedAgent) => void, status, RegExp][] = [
    [(raw) => raw.delta([]), status.INVALID_ARGUMENT, /hello must come first/],
    [(raw) => raw.hello({ registry: 'nonsense' }), status.INVALID_ARGUMENT, /hello\.registry/],
    [(raw) => raw.send(Buffer.from([0xff])), status.INVALID_ARGUMENT, /cannot be decoded/],
    [(raw) => raw.hello({ protocolVersion: 0 }), status.FAILED_PRECONDITION, /protocol_version/],
    [
      (raw) => {
        raw.hello({});
        raw.hello({});
      },
      status.INVALID_ARGUMENT,
      /a second one/,
    ],
    [
      (raw) => {
        raw.hello({});
        raw.snapshot([instance('a'), instance('b'), instance('c')]);
      },
      status.RESOURCE_EXHAUSTED,
      /more than 2 instances/,
    ],
  ];
  for (const [act, code, pattern] of cases) {
    const raw = new RawFeedAgent({ port: aggregator.port });
    act(raw);
    await eventually(() => {
      assert.ok(raw.ended !== undefined && raw.ended !== 'ok');
      assert.equal(raw.ended.code, code);
      assert.match(raw.ended.details, pattern);
    });
    raw.close();
  }
});

test('more streams than allowed are refused', async () => {
  const aggregator = await startAggregator({ streamsMax: 1 });
  const first = new RawFeedAgent({ port: aggregator.port, hello: {} });
  await eventually(() => assert.equal(first.of('welcome').length, 1));
  const second = new RawFeedAgent({ port: aggregator.port, hello: { agentId: 'other' } });
  await eventually(() => {
    assert.ok(second.ended !== undefined && second.ended !== 'ok');
    assert.equal(second.ended.code, status.RESOURCE_EXHAUSTED);
  });
  first.close();
  second.close();
});

test('a newer stream of the same agent ends the older', async () => {
  const aggregator = await startAggregator();
  const older = new RawFeedAgent({ port: aggregator.port, hello: {} });
  await eventually(() => assert.equal(older.of('welcome').length, 1));
  const newer = new RawFeedAgent({ port: aggregator.port, hello: {} });
  await eventually(() => {
    assert.ok(older.ended !== undefined && older.ended !== 'ok');
    assert.equal(older.ended.code, status.ABORTED);
  });
  await eventually(() => assert.equal(newer.of('welcome').length, 1));
  assert.deepStrictEqual(aggregator.sink.events, ['open', 'open']);
  older.close();
  newer.close();
});

test('an agent whose position was forgotten starts over', async () => {
  const aggregator = await startAggregator();
  const { source } = startAgent([aggregator.port]);
  source.snapshot([instance('a')]);
  await eventually(() => assert.equal(aggregator.sink.count('replace'), 1));
  aggregator.server.forget(registry);
  await eventually(() => assert.equal(aggregator.sink.count('replace'), 2));
});

test('certificates and tokens open what they may feed', async () => {
  const certificates = new Certificates();
  const folder = mkdtempSync(join(tmpdir(), 'tributary-feed-'));
  try {
    const authority = certificates.authority();
    const server = certificates.issue(authority);
    const identity = 'spiffe://cluster.local/ns/tributary/sa/agent';
    const client = certificates.issue(authority, [`URI:${identity}`]);
    const stranger = certificates.issue(certificates.authority('stranger'), [`URI:${identity}`]);
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'let-me-in\n');
    const aggregator = await startAggregator({
      tls: {
        certFile: server.certFile,
        keyFile: server.keyFile,
        clientCaFile: authority.certFile,
      },
      clients: [
        { identities: [identity], registries: [registry] },
        { tokenFile, registries: ['dc2/*'] },
      ],
    });
    const caFile = authority.certFile;
    const tls = { caFile, certFile: client.certFile, keyFile: client.keyFile };
    const byCertificate = startAgent([aggregator.port], { tls });
    byCertificate.source.snapshot([instance('a')]);
    await eventually(() => assertEqualSets(aggregator.sink, byCertificate.source));
    await byCertificate.stop();
    const other = { registry: 'dc2/x' as RegistryId };
    const byToken = startAgent([aggregator.port], { tls: { caFile }, tokenFile }, other);
    byToken.source.snapshot([instance('t')]);
    await eventually(() => assertEqualSets(aggregator.sink, byToken.source));
    await byToken.stop();

    const raw = (key?: { keyFile: string; certFile: string }, token?: string): RawFeedAgent => {
      const read = (file: string | undefined): Buffer | null =>
        file === undefined ? null : readFileSync(file);
      const channel = credentials.createSsl(
        readFileSync(caFile),
        read(key?.keyFile),
        read(key?.certFile),
      );
      const access = token === undefined ? { channel } : { channel, token };
      return new RawFeedAgent({ port: aggregator.port, hello: {}, ...access });
    };
    const refused: [RawFeedAgent, status][] = [
      [raw(), status.UNAUTHENTICATED],
      [raw(undefined, 'wrong'), status.UNAUTHENTICATED],
      [raw(undefined, 'let-me-in'), status.PERMISSION_DENIED],
      [raw(stranger), status.UNAUTHENTICATED],
    ];
    for (const [agent, code] of refused) {
      await eventually(() => {
        assert.ok(agent.ended !== undefined && agent.ended !== 'ok');
        assert.equal(agent.ended.code, code, agent.ended.details);
      });
      agent.close();
    }
  } finally {
    certificates.remove();
    rmSync(folder, { recursive: true });
  }
});

test('a token travels over plaintext only when that is allowed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-feed-'));
  try {
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'let-me-in');
    const aggregator = await startAggregator({
      clients: [{ tokens: ['let-me-in'], registries: ['*'] }],
    });
    assert.throws(() => startAgent([aggregator.port], { tokenFile }), /plain text/);
    const { source, ...agent } = startAgent([aggregator.port], { tokenFile, insecure: true });
    source.snapshot([instance('a')]);
    await eventually(() => assertEqualSets(aggregator.sink, source));
    await agent.stop();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a large registry arrives whole, and nothing holds the event loop', async (context) => {
  const aggregator = await startAggregator();
  const { source, counts } = startAgent([aggregator.port]);
  await eventually(() => assert.equal(counts.connections, 1));
  const many = Array.from({ length: 100_000 }, (_, index) =>
    instance(`host-${index}:service-${index % 10_000}:8080`, {
      service: { kind: 'application', name: `service-${index % 10_000}`, group: '', version: '' },
      address: `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`,
      labels: {
        version: `v${index % 7}`,
        zone: `zone-${index % 3}`,
        app: `service-${index % 100}`,
      },
    }),
  );
  const delay = monitorEventLoopDelay({ resolution: 5 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  delay.enable();
  const startedAt = performance.now();
  source.snapshot(many);
  await eventually(() => assert.equal(aggregator.sink.instances.size, many.length), 60_000);
  const snapshotMs = performance.now() - startedAt;
  const stalls = [delay.max / 1e6];
  delay.reset();
  const changedAt = performance.now();
  source.upsert(instance('new'));
  await eventually(() => assert.ok(aggregator.sink.instances.has('new')));
  stalls.push(performance.now() - changedAt);
  delay.disable();
  context.diagnostic(`100,000 instances, source to catalog: ${snapshotMs.toFixed(0)} ms`);
  context.diagnostic(
    `longest event-loop delay: ${(stalls[0] ?? 0).toFixed(1)} ms (both ends in one process)`,
  );
  context.diagnostic(`one more instance: ${(stalls[1] ?? 0).toFixed(1)} ms`);
});
