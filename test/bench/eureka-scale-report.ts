import type { AgentScaleResult } from './eureka-agent-scale.ts';
import type { FullRun, ScaleResult } from './eureka-scale.ts';
import { short, spread, table } from './statistics.ts';

/** The tables of what a large Eureka registry costs. */
export function scaleReport(
  reader: readonly ScaleResult[],
  agent: readonly AgentScaleResult[],
): string {
  return [
    '### Reading all of a Eureka registry, beside one JSON.parse of the same body',
    '',
    fullTable(reader),
    '',
    '### Eureka polls and deltas',
    '',
    deltaTable(reader),
    '',
    '### What Eureka servers push',
    '',
    pushTable(reader, agent),
    '',
    '### The whole agent beside a large Eureka registry',
    '',
    agentTable(agent),
    '',
  ].join('\n');
}

function nameOf({ size, encoding }: Pick<ScaleResult, 'size' | 'encoding'>): string {
  return `${size.services} x ${size.endpoints}, ${encoding}`;
}

function median(runs: readonly FullRun[], of: (run: FullRun) => number): number {
  return spread(runs.map(of)).p50;
}

function fullTable(results: readonly ScaleResult[]): string {
  const head = [
    'services x endpoints',
    'MB as JSON',
    'MB on the wire',
    'ms',
    'floor',
    'of it parsing',
    'ms / floor',
    'CPU ms',
    'floor',
    'CPU / floor',
    'peak RSS MiB',
    'floor',
    'loop held ms',
    'floor',
  ];
  const rows = results.map((result) => {
    const { full } = result;
    const max = (of: (run: FullRun) => number): number => Math.max(...full.map(of));
    return [
      nameOf(result),
      short(result.plainMB),
      short(result.wireMB),
      short(median(full, (run) => run.ms)),
      short(median(full, (run) => run.floor.totalMs)),
      short(median(full, (run) => run.floor.parseMs)),
      short(median(full, (run) => run.ms / run.floor.totalMs)),
      short(median(full, (run) => run.cpuMs)),
      short(median(full, (run) => run.floor.cpuMs)),
      short(median(full, (run) => run.cpuMs / run.floor.cpuMs)),
      short(max((run) => run.peakRssMiB)),
      short(max((run) => run.floor.peakRssMiB)),
      short(max((run) => run.longestHoldMs)),
      short(max((run) => run.floor.longestStallMs)),
    ];
  });
  return table(head, rows);
}

function deltaTable(results: readonly ScaleResult[]): string {
  const head = [
    'services x endpoints',
    'rows of the delta',
    'answer -> event p50, ms',
    'max',
    'CPU ms',
    'loop held ms',
    'CPU ms of each poll that brings it again',
  ];
  const rows = results.flatMap((result) => [
    [nameOf(result), '0', '', '', '', '', short(result.idlePoll.cpuMsEach)],
    ...result.deltas.map((delta) => [
      nameOf(result),
      String(delta.rows),
      short(delta.latency.p50),
      short(delta.latency.max),
      short(delta.cpuMs),
      short(delta.longestHoldMs),
      short(delta.repeatedPollCpuMs),
    ]),
  ]);
  return table(head, rows);
}

function pushTable(readers: readonly ScaleResult[], agents: readonly AgentScaleResult[]): string {
  const head = [
    'services x endpoints',
    'batch',
    'until answered p50, ms',
    'p99',
    'until the event p50, ms',
    'until the subscriber has it p50, ms',
    'p99',
    'CPU ms a batch',
    'CPU ms for 1000 items',
    'loop held ms',
  ];
  const ofReader = readers.flatMap((result) =>
    result.push.map((push) => [
      nameOf(result),
      `${push.itemsPerBatch} x ${push.action}`,
      short(push.answer.p50),
      short(push.answer.p99),
      short(push.event.p50),
      '',
      '',
      short(push.cpuMsPerBatch),
      short((push.cpuMsPerBatch * 1000) / push.itemsPerBatch),
      short(push.longestHoldMs),
    ]),
  );
  const ofAgent = agents.flatMap((result) =>
    result.pushed.map(({ items, latency }) => [
      nameOf(result),
      `${items} x Register`,
      ...['', '', '', short(latency.p50), short(latency.p99), '', '', ''],
    ]),
  );
  return table(head, [...ofReader, ...ofAgent]);
}

function agentTable(results: readonly AgentScaleResult[]): string {
  const head = ['services x endpoints', 'step', 'RSS MiB', 'peak', 'CPU s', 'loop > 50 ms'];
  const rows = results.flatMap((result) => [
    ...result.steps.map((step) => [
      nameOf(result),
      step.name,
      short(step.rssMiB),
      short(step.peakRssMiB),
      short(step.cpuSeconds),
      String(step.over50),
    ]),
    [
      nameOf(result),
      `a poll without change: ${short(result.idlePollCpuMs)} ms CPU`,
      '',
      '',
      '',
      '',
    ],
  ]);
  return table(head, rows);
}
