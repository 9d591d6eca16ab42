import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { TreeDriver, tuningFor } from '../../../../../agent/zookeeper/client/driver.ts';
import { plainAccess } from '../../../../../agent/zookeeper/client/tree.ts';
import type { TreeInterest, Want } from '../../../../../agent/zookeeper/client/tree.ts';
import { eventually } from '../../../../support/eventually.ts';
import { TreeJournal } from '../../../../support/tree-journal.ts';
import { exampleInterest } from '../../../../support/tree-recorder.ts';
import { ViewWitness } from '../../../../support/view-witness.ts';
import { WireGate } from '../../../../support/wire-gate.ts';
import { ZooKeeperStub } from '../../../../support/zookeeper-stub.ts';

/**
 * Both drivers at the wire: whatever happens to a tree while requests and replies are held, cut and let through one by
 * one, during a walk and after it. `RUNS=n` says how many histories, `SEED=n` repeats those of a failure.
 */

/** Leaves of which only the existence counts, and nodes with data. */
const leaves = ['a', 'b'].flatMap((name) =>
  ['providers', 'configurators'].flatMap((kind) =>
    ['0', '1', '2'].map((leaf) => `/dubbo/${name}/${kind}/${leaf}`),
  ),
);
const dataNodes = [
  ...['s', 't'].flatMap((name) => [name, `${name}/0`, `${name}/1`]).map((at) => `/services/${at}`),
  ...['/single', '/named/x', '/deep/down/top/0'],
];
const noise = ['/dubbo/a/consumers/0', '/dubbo/metadata/x/y', '/services/s/0/below', '/other/x'];
const nodes = [...leaves, ...dataNodes, '/named/y', ...noise];
const directories = [
  ...['/dubbo', '/dubbo/a', '/dubbo/a/providers', '/dubbo/b', '/dubbo/b/providers'],
  ...['/services', '/services/s', '/services/t', '/named', '/deep', '/deep/down/top'],
];

/** Every shape of a want: by listing and by name, with data and without, nodes that have both data and children. */
const interest: TreeInterest = {
  roots: ['/dubbo', '/services', '/single', '/named', '/deep/down/top'],
  want: (path) => {
    const [root, second] = path.slice(1).split('/');
    const depth = path.split('/').length - 1;
    const isData = { node: true, data: true, children: false };
    switch (root) {
      case 'services':
        if (depth === 1) return { ...unwanted, children: true };
        return depth === 2 ? { ...isData, children: true } : depth === 3 ? isData : unwanted;
      case 'single':
        return isData;
      case 'named':
        if (depth === 1) return { node: true, data: false, children: ['x', 'y'] };
        return second === 'x' ? isData : { ...isData, data: false };
      case 'deep':
        return depth === 3 ? { node: true, data: false, children: true } : isData;
      default:
        return exampleInterest.want(path);
    }
  },
};
const unwanted: Want = { node: false, data: false, children: false };

const node = fc.constantFrom(...nodes);
const directory = fc.constantFrom(...directories);
const data = fc.constantFrom('one', 'two', 'three');
const change = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('toggle' as const), node, data }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('flap' as const), node, data }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('data' as const),
      node: fc.constantFrom(...dataNodes),
      data,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('vanish' as const), directory }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('rebuild' as const), directory, data }) },
);
const passing = fc.oneof(
  fc.record({
    kind: fc.constant('requests' as const),
    count: fc.constantFrom(1, 1, 2, 3, 8),
  }),
  fc.record({
    kind: fc.constant('bytes' as const),
    count: fc.constantFrom(1, 4, 19, 20, 50, 150, 1_000, 10_000),
  }),
  fc.record({ kind: fc.constantFrom('open' as const, 'hold' as const, 'turn' as const) }),
  /** So many requests are answered, one after the other. */
  fc.record({ kind: fc.constant('rounds' as const), count: fc.constantFrom(1, 1, 1, 2, 4) }),
  fc.record({ kind: fc.constant('rounds' as const), count: fc.constantFrom(1, 1, 1, 2, 4) }),
);
const trouble = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cut' as const), after: fc.nat(400) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const) }) },
);
const permission = fc.record({
  kind: fc.constantFrom('hide' as const, 'show' as const),
  directory,
});

/** Requests are served, then the tree changes, and all of that reaches the client together. */
const race = fc.record({
  kind: fc.constant('race' as const),
  count: fc.constantFrom(1, 1, 2, 3, 20),
  changes: fc.array(change, { minLength: 1, maxLength: 3 }),
});

const settled = fc.oneof(
  { weight: 6, arbitrary: change },
  { weight: 12, arbitrary: race },
  { weight: 8, arbitrary: passing },
  { weight: 2, arbitrary: trouble },
);
const troubled = fc.oneof({ weight: 10, arbitrary: settled }, { weight: 2, arbitrary: permission });
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;
type Step =
  | (typeof settled extends fc.Arbitrary<infer T> ? T : never)
  | (typeof permission extends fc.Arbitrary<infer T> ? T : never);

const worldOf = (step: fc.Arbitrary<Step>): fc.Arbitrary<World> =>
  fc.record({
    start: fc.subarray(nodes),
    /** Whether the gate is held before the first snapshot. */
    isHeldAtFirst: fc.boolean(),
    /** How replies are cut into segments; none: as they come. */
    pieces: fc.constantFrom([], [1], [4], [3, 17, 1_000], [20, 5, 100]),
    steps: fc.array(step, { minLength: 5, maxLength: 50, size: 'max' }),
  });
interface World {
  readonly isHeldAtFirst: boolean;
  readonly start: readonly string[];
  readonly pieces: readonly number[];
  readonly steps: readonly Step[];
}

function dataFor(path: string, data: string): string | null {
  return dataNodes.includes(path) ? data : null;
}

class Run {
  readonly journal: TreeJournal;
  readonly witness: ViewWitness;
  readonly gate: WireGate;
  private readonly stub: ZooKeeperStub;
  private hasHidden = false;

  constructor(stub: ZooKeeperStub, gate: WireGate) {
    this.stub = stub;
    this.gate = gate;
    this.journal = new TreeJournal(stub);
    this.witness = new ViewWitness(this.journal, interest);
    gate.onLink = () => {
      this.witness.opened();
    };
  }

  async perform(step: Step): Promise<void> {
    const { gate, stub } = this;
    switch (step.kind) {
      case 'requests':
        gate.letRequests(step.count);
        return;
      case 'bytes':
        gate.letBytes(step.count);
        return;
      case 'open':
        gate.open();
        return;
      case 'hold':
        gate.hold();
        return;
      case 'turn':
        await new Promise((resolve) => setTimeout(resolve, 1));
        return;
      case 'rounds':
        for (let left = step.count; left > 0; left -= 1) {
          gate.letRequests(1);
          await turns();
          gate.letBytes(100_000);
          await turns();
        }
        gate.hold();
        return;
      case 'race':
        gate.letRequests(step.count);
        await turns();
        for (const one of step.changes) this.change(one);
        await turns();
        gate.letBytes(100_000);
        await turns();
        gate.hold();
        return;
      case 'cut':
        gate.cutAfter(step.after);
        return;
      case 'expire':
        stub.expireSessions();
        stub.dropConnections();
        return;
      case 'hide':
        this.hasHidden = true;
        stub.faults.unreadable.add(step.directory);
        return;
      case 'show':
        stub.faults.unreadable.delete(step.directory);
        return;
      default:
        this.change(step);
    }
  }

  private change(step: Change): void {
    const { journal } = this;
    switch (step.kind) {
      case 'data':
        journal.setData(step.node, step.data);
        return;
      case 'vanish':
        journal.remove(step.directory);
        return;
      case 'rebuild':
        journal.remove(step.directory);
        for (const path of nodes) {
          if (path.startsWith(`${step.directory}/`)) journal.create(path, dataFor(path, step.data));
        }
        return;
      case 'toggle':
        if (journal.has(step.node)) journal.remove(step.node);
        else journal.create(step.node, dataFor(step.node, step.data));
        return;
      case 'flap':
        journal.remove(step.node);
        journal.create(step.node, dataFor(step.node, step.data));
    }
  }

  /** All is well again. A permission that was taken and given unnoticed is made up for by the next connection. */
  heal(): void {
    this.stub.faults.unreadable.clear();
    this.gate.open();
    if (this.hasHidden) this.stub.dropConnections();
  }
}

/** Whatever is on its way between the sockets of this process arrives. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 6; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function live(isOld: boolean, { start, isHeldAtFirst, pieces, steps }: World): Promise<void> {
  const stub = new ZooKeeperStub();
  stub.faults.isOld = isOld;
  await stub.start();
  const gate = new WireGate(stub.port, pieces);
  await gate.start();
  const run = new Run(stub, gate);
  for (const path of start) run.journal.create(path, dataFor(path, 'one'));
  const tuning = tuningFor(2_000);
  const driver = new TreeDriver(
    {
      servers: [`127.0.0.1:${gate.port}`],
      chroot: '',
      sessionTimeoutMs: 2_000,
      access: plainAccess,
    },
    { connected: () => undefined },
    pino({ level: 'silent' }),
    {
      ...tuning,
      timing: { ...tuning.timing, recheckIntervalMs: 5, auditIntervalMs: 2, closeTimeoutMs: 10 },
      backoff: { minMs: 1, maxMs: 4, random: Math.random },
    },
  );
  const stopping = new AbortController();
  if (isHeldAtFirst) gate.hold();
  const watching = driver.watch(interest, run.witness.deliver, stopping.signal);
  try {
    if (!isHeldAtFirst) {
      await eventually(() => assert.equal(run.witness.snapshots, 1));
      gate.hold();
    }
    for (const step of steps) {
      await run.perform(step);
      await turns();
      assert.deepEqual(run.witness.faults, []);
    }
    run.heal();
    await eventually(() => {
      assert.deepEqual(run.witness.faults, []);
      assert.deepEqual(sorted(run.witness.view), sorted(run.witness.expected()));
      assert.ok(run.witness.snapshots > 0);
    }, 20_000);
  } finally {
    stopping.abort();
    await watching;
    await gate.close();
    await stub.dispose();
  }
  assert.deepEqual(run.witness.faults, []);
}

function sorted(map: ReadonlyMap<string, unknown>): readonly unknown[] {
  return [...map].sort(([left], [right]) => (left < right ? -1 : 1));
}

const { RUNS, SEED } = process.env;
const parameters = {
  numRuns: Number(RUNS ?? 12),
  endOnFailure: true,
  ...(SEED === undefined ? {} : { seed: Number(SEED) }),
};

for (const [driver, isOld] of [
  ['persistent', false],
  ['one-shot', true],
] as const) {
  void test(`${driver} driver: any interleaving on the wire tells what the tree was, in its order, and ends as the tree does`, async () => {
    await fc.assert(
      fc.asyncProperty(worldOf(settled), (world) => live(isOld, world)),
      parameters,
    );
  });

  void test(`${driver} driver: what may not be read for a while is never told to be gone`, async () => {
    await fc.assert(
      fc.asyncProperty(worldOf(troubled), (world) => live(isOld, world)),
      parameters,
    );
  });
}
