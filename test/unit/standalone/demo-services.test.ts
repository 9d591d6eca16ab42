import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demoSteps, initialInstances } from '../../../standalone/demo-services.ts';
import type { DemoInstance, DemoStep } from '../../../standalone/demo-services.ts';

interface Present {
  readonly instance: DemoInstance;
  readonly isUp: boolean;
}

/** The shop as a table, which knows only what must be true of a registry. */
function play(
  count: number,
  look: (present: ReadonlyMap<string, Present>, step: DemoStep) => void,
) {
  const present = new Map<string, Present>();
  for (const instance of initialInstances()) present.set(instance.id, { instance, isUp: true });
  let number = 0;
  for (const step of demoSteps()) {
    const { kind, instance } = step;
    const before = present.get(instance.id);
    look(present, step);
    if (kind === 'leave') present.delete(instance.id);
    else if (kind === 'register')
      present.set(instance.id, { instance, isUp: before?.isUp ?? true });
    else present.set(instance.id, { instance, isUp: kind === 'restore' });
    number += 1;
    if (number === count) break;
  }
  return present;
}

function stepsOfARound(): number {
  const again = 'orders-5';
  let count = 0;
  for (const { instance } of demoSteps()) {
    if (instance.id === again) return count;
    count += 1;
  }
  return count;
}

test('the demo always tells the same story', () => {
  const [first, second] = [demoSteps(), demoSteps()];
  for (let step = 0; step < 200; step += 1) assert.deepEqual(first.next(), second.next());
});

test('the demo drains, restores and removes only who is there', () => {
  play(2000, (present, { kind, instance }) => {
    const known = present.get(instance.id);
    if (kind === 'drain') assert.equal(known?.isUp, true);
    if (kind === 'restore') assert.equal(known?.isUp, false);
    if (kind === 'leave') assert.notEqual(known, undefined);
    if (kind === 'register') assert.notDeepEqual(known?.instance, instance);
  });
});

test('no two instances of the demo share an address, however long it runs', () => {
  play(10_000, (present) => {
    const addresses = [...present.values()].map(({ instance }) => instance.ipAddr);
    assert.equal(new Set(addresses).size, addresses.length);
    assert.ok(addresses.every((address) => Number(address.split('.')[3]) < 255));
    assert.ok(present.size < 15);
  });
});

test('the first services of the demo always have an instance that is up', () => {
  play(2000, (present) => {
    const up = new Set(
      [...present.values()].filter(({ isUp }) => isUp).map((at) => at.instance.app),
    );
    for (const app of ['ORDERS', 'PAYMENTS', 'INVENTORY', 'VAULT']) assert.ok(up.has(app), app);
  });
});

test('after a round the demo is where it was, with the next version of the orders', () => {
  const round = stepsOfARound();
  const others = (present: ReadonlyMap<string, Present>) =>
    [...present.values()].filter(({ instance }) => instance.app !== 'ORDERS');
  const versions = (present: ReadonlyMap<string, Present>) =>
    [...present.values()]
      .filter(({ instance }) => instance.app === 'ORDERS')
      .map(({ instance }) => instance.version);
  const one = play(round, () => undefined);
  const two = play(2 * round, () => undefined);
  assert.deepEqual(new Set(others(two)), new Set(others(one)));
  assert.deepEqual(versions(one), ['v2', 'v2']);
  assert.deepEqual(versions(two), ['v3', 'v3']);
});

test('the demo has several zones, versions, weights and a secure service', () => {
  const seen = new Map<string, Set<string>>();
  play(stepsOfARound(), (_, { instance }) => {
    const { zone, version, weight, isSecure } = instance;
    for (const [name, value] of Object.entries({ zone, version, weight, isSecure })) {
      seen.set(name, (seen.get(name) ?? new Set()).add(String(value)));
    }
  });
  for (const [name, values] of seen) assert.ok(values.size > 1, name);
});
