import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { Confirmer } from '../../../agent/confirmer.ts';
import { GuardedView } from '../../../agent/guarded-view.ts';
import { Outbox } from '../../../agent/outbox.ts';
import { Retention } from '../../../agent/retention.ts';
import type { Source } from '../../../agent/source.ts';
import { TransientError } from '../../../common/errors.ts';
import { Guard } from '../../../common/guard.ts';
import type { Instance } from '../../../common/instance.ts';
import { eventually } from '../../support/eventually.ts';

const log = pino({ level: 'silent' });

function instance(id: string): Instance {
  const service = { kind: 'application', name: 'a', group: '', version: '' } as const;
  return { id, service, address: '', ports: [], labels: {}, locality: '', weight: 0, status: 'UP' };
}

type Answer = Source['confirmGone'];

async function withConfirmer(
  answer: Answer,
  act: (outbox: Outbox, remove: (ids: readonly string[]) => void) => Promise<void>,
): Promise<void> {
  const outbox = new Outbox();
  const policy = { fraction: 0.5, minimum: 5, windowMs: 60_000, holdMs: 60_000 };
  const report = { guardActivated: () => undefined, dropped: () => undefined };
  const view = new GuardedView(outbox, new Guard(policy), new Retention(0), report);
  for (let index = 0; index < 10; index++) view.upsert(instance(`i${index}`));
  outbox.open();
  const source = { watch: () => assert.fail('not used'), confirmGone: answer };
  const confirmer = new Confirmer(source, view, log);
  const abort = new AbortController();
  const running = confirmer.run(abort.signal);
  await act(outbox, (ids) => {
    for (const id of ids) view.remove(id, 0);
    view.settle(0, 0);
    confirmer.poke();
  });
  abort.abort();
  await running;
}

const all: Answer = (instances) => Promise.resolve(new Set(instances.map(({ id }) => id)));

test('removals that come while the registry is asked are asked about together afterwards', async () => {
  const asked: string[][] = [];
  const answer: Answer = (instances, scale, signal) => {
    asked.push(instances.map(({ id }) => id));
    return all(instances, scale, signal);
  };
  await withConfirmer(answer, async (outbox, remove) => {
    remove(['i0']);
    remove(['i1']);
    remove(['i2']);
    await eventually(() => assert.equal(outbox.size, 7));
  });
  assert.deepStrictEqual(asked.flat(), ['i0', 'i1', 'i2']);
});

test('a registry that cannot be asked is asked again', async () => {
  let failures = 2;
  const answer: Answer = (instances, scale, signal) =>
    failures-- > 0
      ? Promise.reject(new TransientError('eureka dc1/main: GET apps: ECONNREFUSED'))
      : all(instances, scale, signal);
  await withConfirmer(answer, async (outbox, remove) => {
    remove(['i0']);
    await eventually(() => assert.equal(outbox.size, 9));
  });
  assert.ok(failures < 0);
});

test('a held mass removal passes with the word of another witness', async () => {
  const scales: string[] = [];
  const answer: Answer = (instances, scale, signal) => {
    scales.push(scale);
    return all(instances, scale, signal);
  };
  await withConfirmer(answer, async (outbox, remove) => {
    remove(Array.from({ length: 8 }, (_, index) => `i${index}`));
    await eventually(() => assert.equal(outbox.size, 2));
  });
  assert.deepStrictEqual(scales, ['mass']);
});

test('an answer that never comes does not keep it from stopping', async () => {
  const never: Answer = () => new Promise(() => undefined);
  await withConfirmer(never, (outbox, remove) => {
    remove(['i0']);
    assert.equal(outbox.size, 10);
    return Promise.resolve();
  });
});
