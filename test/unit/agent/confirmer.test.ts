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
import { verdictsOf } from '../../support/verdicts.ts';

const silent = pino({ level: 'silent' });

function instance(id: string): Instance {
  const service = { kind: 'application', name: 'a', group: '', version: '' } as const;
  return { id, service, address: '', ports: [], labels: {}, locality: '', weight: 0, status: 'UP' };
}

type Answer = Source['confirmLosses'];

async function withConfirmer(
  answer: Answer,
  act: (
    outbox: Outbox,
    remove: (ids: readonly string[]) => void,
    view: GuardedView,
    poke: () => void,
  ) => Promise<void>,
  { size = 10, log = silent } = {},
): Promise<void> {
  const outbox = new Outbox();
  const policy = { fraction: 0.5, minimum: 5, windowMs: 60_000, holdMs: 60_000 };
  const report = { guardActivated: () => undefined, dropped: () => undefined };
  const view = new GuardedView(outbox, new Guard(policy), new Retention(0), report);
  for (let index = 0; index < size; index++) view.upsert(instance(`i${index}`));
  outbox.open();
  const source = { watch: () => assert.fail('not used'), confirmLosses: answer };
  const confirmer = new Confirmer(source, view, log);
  const abort = new AbortController();
  const running = confirmer.run(abort.signal);
  await act(
    outbox,
    (ids) => {
      for (const id of ids) view.remove(id, 0);
      view.settle(0, 0);
      confirmer.poke();
    },
    view,
    () => confirmer.poke(),
  );
  abort.abort();
  await running;
}

const all: Answer = (losses) =>
  Promise.resolve(verdictsOf(losses.map(({ instance }) => instance.id)));

test('removals that come while the registry is asked are asked about together afterwards', async () => {
  const asked: string[][] = [];
  const answer: Answer = (losses, scale, signal) => {
    asked.push(losses.map(({ instance }) => instance.id));
    return all(losses, scale, signal);
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
  const answer: Answer = (losses, scale, signal) =>
    failures-- > 0
      ? Promise.reject(new TransientError('eureka dc1/main: GET apps: ECONNREFUSED'))
      : all(losses, scale, signal);
  await withConfirmer(answer, async (outbox, remove) => {
    remove(['i0']);
    await eventually(() => assert.equal(outbox.size, 9));
  });
  assert.ok(failures < 0);
});

test('a held mass removal passes with the word of another witness', async () => {
  const scales: string[] = [];
  const answer: Answer = (losses, scale, signal) => {
    scales.push(scale);
    return all(losses, scale, signal);
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

const eight = Array.from({ length: 8 }, (_, index) => `i${index}`);

test('what is refuted stays held, and what was said is shown', async () => {
  const answer: Answer = (losses, scale) => {
    assert.equal(scale, 'mass');
    const ids = losses.map((loss) => loss.instance.id);
    return Promise.resolve({
      ...verdictsOf(ids.slice(3), ids.slice(0, 3)),
      testimony: 'b lists 3 of 8 as UP',
    });
  };
  await withConfirmer(answer, async (outbox, remove, view) => {
    remove(eight);
    await eventually(() => assert.equal(outbox.size, 5));
    assert.equal(view.heldCount, 3);
    assert.equal(view.held()[0]?.witnesses, 'b lists 3 of 8 as UP');
  });
});

test('held demotions are asked about too, as such', async () => {
  const kinds: string[] = [];
  const answer: Answer = (losses, scale, signal) => {
    kinds.push(...losses.map(({ kind }) => kind));
    return all(losses, scale, signal);
  };
  await withConfirmer(answer, async (_outbox, _remove, view, poke) => {
    for (let index = 0; index < 10; index++) {
      view.upsert({ ...instance(`i${index}`), status: 'DOWN' });
    }
    view.settle(0, 0);
    poke();
    assert.equal(view.heldCount, 10);
    await eventually(() => assert.deepStrictEqual(view.statusCounts(), { DOWN: 10 }));
  });
  assert.deepStrictEqual(new Set(kinds), new Set(['demotion']));
});

test('very many that are confirmed pass in slices, very many that are released too', async () => {
  const ids = Array.from({ length: 2900 }, (_, index) => `i${index}`);
  const answers: Answer[] = [all, () => Promise.resolve(verdictsOf([]))];
  for (const answer of answers) {
    const act = async (
      outbox: Outbox,
      remove: (ids: readonly string[]) => void,
      view: GuardedView,
    ): Promise<void> => {
      remove(ids);
      if (answer !== all) {
        await eventually(() => assert.equal(view.heldCount, 2900));
        assert.equal(view.release(0), 2900);
        assert.equal(outbox.size, 2500);
      }
      await eventually(() => assert.equal(outbox.size, 100));
    };
    await withConfirmer(answer, act, { size: 3000 });
  }
});

test('the end of a hold is logged once, with how it came', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  await withConfirmer(
    all,
    async (outbox, remove, _view, poke) => {
      remove(eight);
      await eventually(() => assert.equal(outbox.size, 2));
      poke();
    },
    { log },
  );
  assert.equal(lines.length, 1);
  const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
  assert.equal(line['confirmed'], 8);
  assert.match(String(line['evidence']), /8 of 10 UP instances removed/);
});
