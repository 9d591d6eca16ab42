import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { beforeEach, test } from 'node:test';
import { BadRegistration } from '../../../../standalone/eureka-registry/model.ts';
import type { Registration } from '../../../../standalone/eureka-registry/model.ts';
import { readRegistration } from '../../../../standalone/eureka-registry/registration.ts';
import { createEurekaRegistry } from '../../../../standalone/eureka-registry/registry.ts';
import type {
  EurekaRegistry,
  EurekaRegistryOptions,
} from '../../../../standalone/eureka-registry/registry.ts';
import { registrationOf } from '../../../support/eureka-registration.ts';

let now = 1_000_000;
beforeEach(() => {
  now = 1_000_000;
});

function registryOf(options: EurekaRegistryOptions = {}): EurekaRegistry {
  return createEurekaRegistry({ now: () => now, readOnlyCacheMs: 0, ...options });
}

type Json = Readonly<Record<string, unknown>>;
interface List {
  readonly versions__delta: unknown;
  readonly apps__hashcode: string;
  readonly application: readonly { readonly name: string; readonly instance: readonly Json[] }[];
}

function read(registry: EurekaRegistry, entity: string, isCompact = false): List {
  const payload = registry.payload({ entity, isCompact });
  assert.ok(payload !== undefined);
  return (JSON.parse(payload.plain.toString()) as { applications: List }).applications;
}

function rows(list: List): readonly string[] {
  return list.application.flatMap(({ instance }) =>
    instance.map(
      (row) => `${String(row.instanceId)} ${String(row.status)} ${String(row.actionType)}`,
    ),
  );
}

function fixture(name: string): unknown {
  const url = new URL(`../../../fixtures/eureka/${name}`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8'));
}

test('an empty registry writes what a real one writes', () => {
  const bodyOf = (codec: 'jackson' | 'xstream', entity: string, isCompact: boolean): unknown => {
    const registry = registryOf({ codec });
    // Compact deltas were recorded second, and each build counts.
    registry.payload({ entity, isCompact: false });
    return JSON.parse(registry.payload({ entity, isCompact })?.plain.toString() ?? '');
  };
  for (const [entity, name] of [
    ['full', 'apps'],
    ['delta', 'apps-delta'],
  ] as const) {
    assert.deepEqual(
      bodyOf('jackson', entity, false),
      fixture(`jackson-default/00-empty.${name}.json`),
    );
    assert.deepEqual(
      bodyOf('xstream', entity, false),
      fixture(`xstream-json/00-empty.${name}.json`),
    );
    assert.deepEqual(
      bodyOf('jackson', entity, true),
      fixture(`jackson-default/00-empty.${name}.compact.json`),
    );
  }
});

test('a record has the members of a real one, in each codec', () => {
  for (const [codec, folder] of [
    ['jackson', 'jackson-default'],
    ['xstream', 'xstream-json'],
  ] as const) {
    for (const isCompact of [false, true]) {
      const suffix = isCompact ? '.compact' : '';
      const name = `${folder}/01-one-app-one-instance.apps${suffix}.json`;
      const real = (fixture(name) as { applications: Json }).applications;
      const first = (value: unknown): Json => (Array.isArray(value) ? value[0] : value) as Json;
      const record = first(first(real.application).instance);
      const registry = registryOf({ codec });
      const source = fixture('jackson-default/01-one-app-one-instance.apps.json') as {
        applications: { application: { instance: Json[] }[] };
      };
      const instance = source.applications.application[0]?.instance[0];
      registry.register(readRegistration(JSON.stringify({ instance }), 'orders', now));
      const ours = JSON.parse(
        registry.payload({ entity: 'full', isCompact })?.plain.toString() ?? '',
      ) as { applications: Json };
      const made = first(first(ours.applications.application).instance);
      const timeless = (value: Json): Json => ({
        ...value,
        leaseInfo: Object.keys((value.leaseInfo as Json | undefined) ?? {}).sort(),
        lastUpdatedTimestamp: typeof value.lastUpdatedTimestamp,
        lastDirtyTimestamp: typeof value.lastDirtyTimestamp,
      });
      assert.deepEqual(timeless(made), timeless(record));
      assert.deepEqual(Object.keys(ours.applications), Object.keys(real));
    }
  }
});

test('what a Spring client sends is accepted', () => {
  for (const name of ['register-up', 'register-down-at-shutdown']) {
    const body = JSON.stringify(fixture(`spring-client/${name}.json`));
    const registration = readRegistration(body, 'SHOP-API', now);
    assert.equal(registration.texts.sid, undefined);
    assert.equal(registration.texts.appGroupName, undefined);
    assert.equal(registration.metadata.zone, 'az1');
  }
});

test('a registration that lacks something is refused by name', () => {
  const whole = {
    hostName: 'h',
    app: 'A',
    ipAddr: '10.0.0.1',
    dataCenterInfo: { '@class': 'x', name: 'MyOwn' },
  };
  const readBody = (instance: unknown, path = 'a'): Registration =>
    readRegistration(JSON.stringify({ instance }), path, now);
  const minimal = readBody(whole);
  assert.deepEqual(minimal.port, { number: 7001, enabled: true });
  assert.deepEqual(minimal.securePort, { number: 7002, enabled: false });
  assert.equal(minimal.durationSecs, 90);
  for (const name of ['hostName', 'app', 'ipAddr', 'dataCenterInfo']) {
    assert.throws(() => readBody({ ...whole, [name]: undefined }), new RegExp(`Missing ${name}`));
  }
  assert.throws(() => readBody(whole, 'b'), /Mismatched appName/);
  assert.throws(() => readBody(undefined), BadRegistration);
  assert.throws(() => readRegistration('{', 'a', now), BadRegistration);
});

test('the delta has one row for an instance, in its present state', () => {
  const registry = registryOf();
  registry.register(registrationOf('A', '1'));
  registry.register(registrationOf('A', '2'));
  registry.setStatus('A', '2', 'OUT_OF_SERVICE');
  registry.cancel('A', '1');
  const delta = read(registry, 'delta');
  assert.deepEqual(rows(delta), ['1 UP DELETED', '2 OUT_OF_SERVICE MODIFIED']);
  assert.equal(delta.apps__hashcode, 'OUT_OF_SERVICE_1_');
});

test('the delta counts its builds and forgets after its retention', () => {
  const registry = registryOf();
  registry.register(registrationOf('A', '1'));
  assert.equal(read(registry, 'delta').versions__delta, '1');
  assert.equal(read(registry, 'delta').versions__delta, '1');
  registry.register(registrationOf('A', '2'));
  assert.equal(read(registry, 'delta', true).versions__delta, '2');
  assert.equal(read(registry, 'delta').versions__delta, '3');
  now += 180_001;
  registry.purge();
  assert.deepEqual(rows(read(registry, 'delta')), []);
  assert.equal(read(registry, 'full').versions__delta, '1');
});

test('the read-only cache follows at its tick only', () => {
  const registry = registryOf({ readOnlyCacheMs: 30_000 });
  assert.deepEqual(rows(read(registry, 'full')), []);
  registry.register(registrationOf('A', '1'));
  assert.deepEqual(rows(read(registry, 'full')), []);
  assert.deepEqual(rows(read(registry, 'delta')), ['1 UP ADDED']);
  registry.tick();
  assert.deepEqual(rows(read(registry, 'full')), ['1 UP ADDED']);
});

test('a silent change stays unseen until something else happens or the cache expires', () => {
  const registry = registryOf();
  registry.register(registrationOf('A', '1'));
  registry.forgetChanges();
  read(registry, 'full');
  assert.equal(registry.heartbeat('A', '1', { overridden: 'OUT_OF_SERVICE' }), true);
  assert.deepEqual(rows(read(registry, 'full')), ['1 UP ADDED']);
  now += 180_000;
  assert.deepEqual(rows(read(registry, 'full')), ['1 OUT_OF_SERVICE ADDED']);
});

test('statuses: DOWN is believed, an override beats UP, and goes with the instance', () => {
  const registry = registryOf();
  const status = (): string | undefined => registry.lease('A', '1')?.status;
  registry.register(registrationOf('A', '1', { status: 'STARTING' }));
  assert.equal(status(), 'STARTING');
  registry.register(registrationOf('A', '1'));
  assert.equal(status(), 'UP');
  registry.setStatus('A', '1', 'OUT_OF_SERVICE');
  registry.register(registrationOf('A', '1'));
  assert.equal(status(), 'OUT_OF_SERVICE');
  registry.register(registrationOf('A', '1', { status: 'DOWN' }));
  assert.equal(status(), 'DOWN');
  registry.cancel('A', '1');
  registry.register(registrationOf('A', '1'));
  assert.equal(status(), 'UP');
});

test('an override that is taken away without a word leaves UNKNOWN, and a client that must register', () => {
  const registry = registryOf();
  registry.register(registrationOf('A', '1'));
  registry.setStatus('A', '1', 'OUT_OF_SERVICE');
  registry.deleteStatus('A', '1', 'UNKNOWN');
  assert.equal(registry.lease('A', '1')?.status, 'UNKNOWN');
  assert.equal(registry.heartbeat('A', '1'), false);
  registry.register(registrationOf('A', '1', { lastDirtyTimestamp: 2 }));
  assert.equal(registry.lease('A', '1')?.status, 'UP');
});

test('an older registration of a known instance changes nothing', () => {
  const registry = registryOf();
  registry.register(registrationOf('A', '1', { lastDirtyTimestamp: 5, ipAddr: '10.0.0.5' }));
  registry.register(registrationOf('A', '1', { lastDirtyTimestamp: 4, ipAddr: '10.0.0.4' }));
  assert.equal(registry.lease('A', '1')?.registration.ipAddr, '10.0.0.5');
});

test('what is unknown is answered so', () => {
  const registry = registryOf();
  assert.equal(registry.heartbeat('A', '1'), false);
  assert.equal(registry.cancel('A', '1'), false);
  assert.equal(registry.setStatus('A', '1', 'UP'), false);
  assert.equal(registry.deleteStatus('A', '1', 'UP'), false);
  assert.equal(registry.setMetadata('A', '1', {}), false);
  assert.equal(registry.payload({ entity: 'A', isCompact: false }), undefined);
  assert.equal(registry.leaseById('1'), undefined);
});

test('a lease ends after twice its duration, and a pass ends few of them', () => {
  const registry = registryOf();
  for (let index = 0; index < 20; index += 1) {
    registry.register(registrationOf('A', String(index), { durationSecs: 10 }));
    registry.heartbeat('A', String(index));
  }
  now += 20_000;
  assert.equal(registry.evict(), 0);
  now += 1;
  assert.equal(registry.lease('A', '1'), undefined);
  assert.equal(registry.evict(), 3);
  assert.equal(registry.size, 17);
});

test('self-preservation keeps everybody when too few renew', () => {
  const registry = registryOf({ selfPreservation: true });
  for (const id of ['1', '2']) registry.register(registrationOf('A', id, { durationSecs: 1 }));
  now += 10_000;
  assert.equal(registry.evict(), 0);
  assert.ok(registry.lease('A', '1') !== undefined);
  for (let beat = 0; beat < 4; beat += 1) registry.heartbeat('A', '1');
  assert.equal(registry.evict(), 1);
});

test('writes by applications are passed on one hop, evictions are not', () => {
  const [a, b] = [registryOf(), registryOf()];
  const stop = a.onReplicate((replication) => b.applyReplication(replication));
  b.onReplicate(() => assert.fail('one hop only'));
  a.register(registrationOf('A', '1', { durationSecs: 1 }));
  a.heartbeat('A', '1');
  a.setStatus('A', '1', 'OUT_OF_SERVICE');
  assert.equal(b.lease('A', '1')?.status, 'OUT_OF_SERVICE');
  a.deleteStatus('A', '1', 'UP');
  a.setMetadata('A', '1', { k: 'v' });
  assert.equal(b.lease('A', '1')?.registration.metadata.k, 'v');
  assert.deepEqual(a.registrations(), b.registrations());
  now += 10_000;
  a.evict();
  assert.deepEqual([a.size, b.size], [0, 1]);
  a.register(registrationOf('A', '1'));
  a.cancel('A', '1');
  assert.equal(b.size, 0);
  stop();
  a.register(registrationOf('A', '2'));
  assert.equal(b.size, 0);
});

test('a registry that warms up is closed for its time', () => {
  const registry = registryOf({ warmUpMs: 1_000 });
  assert.equal(registry.isOpen, false);
  now += 1_000;
  assert.equal(registry.isOpen, true);
});
