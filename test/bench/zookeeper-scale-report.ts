import { short, spread, table } from './statistics.ts';
import type { SnapshotRuns, ZooKeeperScaleResult } from './zookeeper-scale.ts';

/** The tables of what a large ZooKeeper registry costs. */
export function zookeeperScaleReport(results: readonly ZooKeeperScaleResult[]): string {
  return [
    '### Reading all of a ZooKeeper registry, beside a bare client that only receives the same listings',
    '',
    snapshotTable(results),
    '',
    '### From a change in ZooKeeper to the event of the source, and to the other end of the feed',
    '',
    changeTable(results),
    '',
    '### Every provider of one interface restarts',
    '',
    restartTable(results),
    '',
    '### The whole agent beside a large ZooKeeper registry',
    '',
    agentTable(results),
    '',
  ].join('\n');
}

function nameOf({ size, restarted }: ZooKeeperScaleResult): string {
  return `${size.services} x ${size.endpoints} + ${restarted}`;
}

type Run = SnapshotRuns['runs'][number];

function snapshotTable(results: readonly ZooKeeperScaleResult[]): string {
  const head = [
    'interfaces x providers',
    'driver',
    'MB received',
    'floor',
    'ms',
    'floor',
    'ms / floor',
    'CPU ms',
    'floor',
    'CPU / floor',
    'peak RSS MiB',
    'settled',
    'loop held ms',
    'late ms',
    'floor',
  ];
  const rows = results.flatMap((result) =>
    result.snapshots.map(({ reader, runs, settledRssMiB }) => {
      const median = (of: (run: Run) => number): string => short(spread(runs.map(of)).p50);
      const max = (of: (run: Run) => number): string => short(Math.max(...runs.map(of)));
      return [
        nameOf(result),
        reader,
        median((run) => run.bytes / 1e6),
        median((run) => run.floor.bytes / 1e6),
        median((run) => run.ms),
        median((run) => run.floor.ms),
        median((run) => run.ms / run.floor.ms),
        median((run) => run.cpuMs),
        median((run) => run.floor.cpuMs),
        median((run) => run.cpuMs / run.floor.cpuMs),
        max((run) => run.peakRssMiB),
        settledRssMiB === undefined ? '' : short(settledRssMiB),
        max((run) => run.longestHoldMs),
        max((run) => run.longestStallMs),
        max((run) => run.floor.longestStallMs),
      ];
    }),
  );
  return table(head, rows);
}

function changeTable(results: readonly ZooKeeperScaleResult[]): string {
  const head = [
    'interfaces x providers',
    'driver',
    'n',
    'created -> event p50, ms',
    'p99',
    'max',
    'bare watch p50',
    'p99',
    'p50 / bare',
    'p99 / bare',
    'created -> writer has its answer p50',
    'deleted -> event p50',
    'p99',
    'created -> feed p50',
    'p99',
    'CPU ms a creation',
    'new interface -> event p50',
    'max',
    'kB received',
  ];
  const rows = results.flatMap((result) => {
    const ofReaders = result.changes.map((run) => [
      nameOf(result),
      run.reader,
      String(run.created.n),
      short(run.created.p50),
      short(run.created.p99),
      short(run.created.max),
      short(run.floor.p50),
      short(run.floor.p99),
      short(run.created.p50 / run.floor.p50),
      short(run.created.p99 / run.floor.p99),
      short(run.answered.p50),
      short(run.removed.p50),
      short(run.removed.p99),
      '',
      '',
      short(run.cpuMsPerCreation),
      short(run.newInterface.p50),
      short(run.newInterface.max),
      short(run.bytesPerNewInterface / 1e3),
    ]);
    const ofAgents = result.agents.map(({ reader, created }) => [
      nameOf(result),
      `the agent, ${reader}`,
      String(created.n),
      ...Array.from({ length: 10 }, () => ''),
      short(created.p50),
      short(created.p99),
      ...Array.from({ length: 4 }, () => ''),
    ]);
    return [...ofReaders, ...ofAgents];
  });
  return table(head, rows);
}

function restartTable(results: readonly ZooKeeperScaleResult[]): string {
  const head = [
    'interfaces x providers',
    'driver',
    'restarts',
    'MB received',
    'least MB',
    'received / least',
    'events',
    'upserts',
    'removals',
    'last creation -> right, ms',
    'CPU ms',
    'loop held ms',
  ];
  const rows = results.flatMap((result) =>
    result.restarts.map((run) => [
      nameOf(result),
      run.reader,
      `${run.providers} at ${run.perSecond}/s, ${run.what}`,
      short(run.bytes / 1e6),
      short(run.leastBytes / 1e6),
      short(run.bytes / run.leastBytes),
      String(run.events),
      String(run.upserts),
      String(run.removals),
      short(run.rightMs),
      short(run.cpuMs),
      short(run.longestHoldMs),
    ]),
  );
  return table(head, rows);
}

function agentTable(results: readonly ZooKeeperScaleResult[]): string {
  const head = [
    'interfaces x providers',
    'driver',
    'step',
    'ms',
    'RSS MiB',
    'peak so far',
    'CPU s',
    'loop > 50 ms',
    'longest so far <=',
  ];
  const rows = results.flatMap((result) =>
    result.agents.flatMap(({ reader, steps }) =>
      steps.map((step) => [
        nameOf(result),
        reader,
        step.name,
        Number.isNaN(step.ms) ? '' : short(step.ms),
        short(step.rssMiB),
        short(step.peakRssMiB),
        short(step.cpuSeconds),
        String(step.over50),
        short(step.longestAtMostMs),
      ]),
    ),
  );
  return table(head, rows);
}
