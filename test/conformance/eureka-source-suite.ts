import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { defaultEurekaOptions } from '../../agent/eureka/options.ts';
import type { EurekaOptions } from '../../agent/eureka/options.ts';
import { createEurekaSource } from '../../agent/eureka/source.ts';
import type { Source } from '../../agent/source.ts';
import type { Instance } from '../../common/instance.ts';
import type { RegistryId } from '../../common/registry.ts';
import { eventually } from '../support/eventually.ts';
import { FollowedSource, RememberedReport } from '../support/followed-source.ts';
import { confirmedBy } from '../support/verdicts.ts';

/**
 * What the Eureka source must do on any server: one suite for the fake and for real ones, driven by
 * the same REST calls that applications make.
 */

/** What an application says of itself when it registers. */
interface ApplicationInstance {
  readonly app: string;
  readonly id: string;
  readonly ip: string;
  readonly status?: string;
  readonly port?: number;
  readonly securePort?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly durationSecs?: number;
}

/** A server, or the first of several, as applications write to it. Each call rejects unless it succeeded. */
export interface EurekaServerHandle {
  /** In the order of preference. */
  readonly serviceUrls: readonly string[];
  register(instance: ApplicationInstance): Promise<void>;
  heartbeat(app: string, id: string): Promise<void>;
  cancel(app: string, id: string): Promise<void>;
  override(app: string, id: string, status: string): Promise<void>;
  /** Takes an override away; the instance goes on as UP. */
  removeOverride(app: string, id: string): Promise<void>;
  setMetadata(app: string, id: string, key: string, value: string): Promise<void>;
  stop(): Promise<void>;
}

/** A handle over Eureka's own REST calls, which works for every server there is. */
export function restHandle(
  serviceUrls: readonly string[],
  stop: () => Promise<void>,
): EurekaServerHandle {
  const [url = ''] = serviceUrls;
  const call = async (method: string, path: string, body?: unknown): Promise<void> => {
    const headers = { 'content-type': 'application/json', accept: 'application/json' };
    const init =
      body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
    const response = await fetch(`${url}apps/${path}`, init);
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  };
  const path = (app: string, id: string): string => `${app}/${encodeURIComponent(id)}`;
  return {
    serviceUrls,
    register: (instance) => call('POST', instance.app, registrationBody(instance)),
    heartbeat: (app, id) => call('PUT', path(app, id)),
    cancel: (app, id) => call('DELETE', path(app, id)),
    override: (app, id, status) => call('PUT', `${path(app, id)}/status?value=${status}`),
    removeOverride: (app, id) => call('DELETE', `${path(app, id)}/status?value=UP`),
    setMetadata: (app, id, key, value) =>
      call('PUT', `${path(app, id)}/metadata?${new URLSearchParams({ [key]: value }).toString()}`),
    stop,
  };
}

let dirtyAt = Date.now();

function registrationBody(instance: ApplicationInstance): unknown {
  dirtyAt = Math.max(dirtyAt + 1, Date.now());
  return {
    instance: {
      instanceId: instance.id,
      hostName: instance.ip,
      app: instance.app,
      ipAddr: instance.ip,
      status: instance.status ?? 'UP',
      port: { $: instance.port ?? 8080, '@enabled': 'true' },
      securePort: {
        $: instance.securePort ?? 443,
        '@enabled': String(instance.securePort !== undefined),
      },
      dataCenterInfo: {
        '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo',
        name: 'MyOwn',
      },
      leaseInfo: {
        renewalIntervalInSecs: 30,
        durationInSecs: instance.durationSecs ?? 300,
      },
      metadata: instance.metadata ?? {},
      lastDirtyTimestamp: String(dirtyAt),
    },
  };
}

const silent = pino({ level: 'silent' });

export const eurekaOptionsForTests: Omit<EurekaOptions, 'serviceUrls'> = {
  ...defaultEurekaOptions,
  registry: 'dc1/eureka' as RegistryId,
  pollIntervalMs: 50,
};

/** A source that is being followed. Ended by its disposal. */
export interface Followed extends AsyncDisposable {
  readonly source: Source;
  readonly followed: FollowedSource;
  readonly report: RememberedReport;
}

/** Follows a source over these servers. */
export function follow(
  serviceUrls: readonly string[],
  options: Partial<EurekaOptions> = {},
): Followed {
  const report = new RememberedReport();
  const all = { ...eurekaOptionsForTests, ...options, serviceUrls };
  const source = createEurekaSource(all, report, silent);
  const followed = new FollowedSource(source);
  return { source, followed, report, [Symbol.asyncDispose]: () => followed.stop() };
}

/** Declares the suite. One server serves all of it; each test has applications of its own. */
export function eurekaSourceSuite(
  name: string,
  startServer: () => Promise<EurekaServerHandle>,
  options: { readonly skip: string | false } = { skip: false },
): void {
  void describe(`eureka source on ${name}`, { ...options, timeout: 240_000 }, () => {
    let server: EurekaServerHandle;
    before(async () => {
      server = await startServer();
      await server.register({ app: 'PERMANENT', id: 'p1', ip: '10.9.0.1' });
    });
    after(async () => {
      await server.stop();
    });
    readingTests(() => server);
    removalTests(() => server);
    historyTest(() => server);
  });
}

function instancesOf({ followed }: Followed, app: string): readonly Instance[] {
  return followed.instances().filter(({ id }) => id.startsWith(`${app}/`));
}

async function firstSnapshot(reader: Followed): Promise<void> {
  await eventually(() => assert.equal(reader.followed.events[0]?.kind, 'snapshot'));
}

/** The caches of the server may show what was registered before only a while later. */
async function shows(reader: Followed, keys: readonly string[]): Promise<void> {
  await firstSnapshot(reader);
  await eventually(() => {
    for (const key of keys) assert.ok(reader.followed.view.has(key), key);
  });
}

function readingTests(server: () => EurekaServerHandle): void {
  test('the first event is a snapshot of what is registered', async () => {
    await server().register({
      app: 'SNAP',
      id: 'h1:snap:8080',
      ip: '10.0.1.1',
      securePort: 8443,
      metadata: { version: '1.10', zone: 'eu-west-1a', weight: '020', 'user.password': 'hidden' },
    });
    await using reader = follow(server().serviceUrls);
    await shows(reader, ['SNAP/h1:snap:8080']);
    assert.deepEqual(instancesOf(reader, 'SNAP'), [
      {
        id: 'SNAP/h1:snap:8080',
        service: { kind: 'application', name: 'snap', group: '', version: '' },
        address: '10.0.1.1',
        ports: [
          { protocol: 'http', number: 8080 },
          { protocol: 'https', number: 8443 },
        ],
        labels: { version: '1.10' },
        locality: 'eu-west-1/eu-west-1a',
        weight: 20,
        status: 'UP',
      },
    ]);
    assert.deepEqual(reader.report.servers, [server().serviceUrls[0]]);
    assert.deepEqual(reader.report.drops, []);
  });

  test('a poll that finds nothing new confirms what is known', async () => {
    await using reader = follow(server().serviceUrls);
    await firstSnapshot(reader);
    await eventually(() => assert.ok(reader.followed.events.length >= 4));
    const changes = reader.followed.events.slice(1);
    assert.ok(changes.every((event) => event.kind === 'changes' && event.changes.length === 0));
    assert.equal(reader.followed.count('lost'), 0);
  });

  test('registration, status, override, metadata and address arrive as changes', async () => {
    await using reader = follow(server().serviceUrls);
    await firstSnapshot(reader);
    const only = (): Instance => {
      const [instance, ...more] = instancesOf(reader, 'FLOW');
      assert.deepEqual(more, []);
      assert.ok(instance !== undefined);
      return instance;
    };
    const base = { app: 'FLOW', id: 'f1', ip: '10.0.2.1' };
    await server().register({ ...base, status: 'STARTING' });
    await eventually(() => assert.equal(only().status, 'STARTING'));
    await server().register(base);
    await eventually(() => assert.equal(only().status, 'UP'));
    await server().override('FLOW', 'f1', 'OUT_OF_SERVICE');
    await eventually(() => assert.equal(only().status, 'OUT_OF_SERVICE'));
    await server().removeOverride('FLOW', 'f1');
    await eventually(() => assert.equal(only().status, 'UP'));
    await server().setMetadata('FLOW', 'f1', 'version', '7');
    await eventually(() => assert.deepEqual(only().labels, { version: '7' }));
    await server().register({ ...base, ip: '10.0.2.2', port: 9090 });
    await eventually(() => assert.equal(only().address, '10.0.2.2'));
    assert.deepEqual(only().ports, [{ protocol: 'http', number: 9090 }]);
    await server().register({ ...base, status: 'DOWN' });
    await eventually(() => assert.equal(only().status, 'DOWN'));
    assert.equal(reader.followed.count('snapshot'), 1);
    assert.deepEqual(reader.followed.removed, []);
  });

  test('re-registration without a change of content changes nothing', async () => {
    const instance = { app: 'SAME', id: 's1', ip: '10.0.3.1' };
    await server().register(instance);
    await using reader = follow(server().serviceUrls);
    await shows(reader, ['SAME/s1']);
    const before = reader.followed.events.length;
    await server().register(instance);
    await server().heartbeat('SAME', 's1');
    await server().register({ app: 'SAME', id: 's2', ip: '10.0.3.2' });
    await shows(reader, ['SAME/s2']);
    const changes = reader.followed.events
      .slice(before)
      .flatMap((event) => (event.kind === 'changes' ? event.changes : []));
    assert.deepEqual(
      changes.map((change) => (change.kind === 'upsert' ? change.instance.id : change.kind)),
      ['SAME/s2'],
    );
  });

  test('the iteration ends when the signal aborts', async () => {
    const reader = follow(server().serviceUrls);
    await firstSnapshot(reader);
    await reader.followed.stop();
    await assert.rejects(confirmedBy(reader.source, [], 'single', new AbortController().signal));
  });
}

function removalTests(server: () => EurekaServerHandle): void {
  test('a cancelled instance is removed, and its server confirms that alone', async () => {
    for (const id of ['c1', 'c2']) await server().register({ app: 'GOING', id, ip: '10.0.4.1' });
    await using reader = follow(server().serviceUrls);
    await shows(reader, ['GOING/c1', 'GOING/c2']);
    const both = instancesOf(reader, 'GOING');
    await server().cancel('GOING', 'c1');
    await eventually(() => assert.deepEqual(reader.followed.removed, ['GOING/c1']));
    const { signal } = new AbortController();
    const gone = await confirmedBy(reader.source, both, 'single', signal);
    assert.deepEqual([...gone], ['GOING/c1']);
  });

  test('the last instance of an application goes like any other', async () => {
    await server().register({ app: 'LONELY', id: 'l 1 %', ip: '10.0.5.1' });
    await using reader = follow(server().serviceUrls);
    await shows(reader, ['LONELY/l 1 %']);
    const before = instancesOf(reader, 'LONELY');
    await server().cancel('LONELY', 'l 1 %');
    await eventually(() => assert.deepEqual(reader.followed.removed, ['LONELY/l 1 %']));
    const { signal } = new AbortController();
    assert.equal((await confirmedBy(reader.source, before, 'single', signal)).size, 1);
  });
}

const ids = ['1', '2', '3', '4'];
const operation = fc.record({
  kind: fc.constantFrom('register', 'register', 'cancel', 'override', 'metadata'),
  id: fc.constantFrom(...ids),
  status: fc.constantFrom('UP', 'DOWN', 'STARTING', 'OUT_OF_SERVICE'),
  value: fc.constantFrom('a', 'b'),
});

/** Any history of writes, at any pace: in the end the view is the registry's. */
function historyTest(server: () => EurekaServerHandle): void {
  test('after any history the view is what a new reader sees', async () => {
    await using reader = follow(server().serviceUrls, { pollIntervalMs: 20 });
    await firstSnapshot(reader);
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 12 }), async (history) => {
        for (const { kind, id, status, value } of history) {
          const instance = { app: 'HISTORY', id, ip: `10.0.6.${id}` };
          const metadata = { version: value };
          // What concerns an instance that is not there fails; that is part of the history.
          await (
            kind === 'register'
              ? server().register({ ...instance, status, metadata })
              : kind === 'cancel'
                ? server().cancel('HISTORY', id)
                : kind === 'override'
                  ? server().override('HISTORY', id, status)
                  : server().setMetadata('HISTORY', id, 'version', value)
          ).catch(() => undefined);
        }
        runs += 1;
        await server().register({ app: 'HISTORY', id: `end-${runs}`, ip: '10.0.6.9' });
        await using fresh = follow(server().serviceUrls);
        await shows(fresh, [`HISTORY/end-${runs}`]);
        await shows(reader, [`HISTORY/end-${runs}`]);
        await eventually(() =>
          assert.deepEqual(reader.followed.instances(), fresh.followed.instances()),
        );
      }),
      { numRuns: 8 },
    );
    assert.equal(reader.followed.count('lost'), 0);
    assert.equal(reader.followed.count('snapshot'), 1);
  });
}
