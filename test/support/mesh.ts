import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aggregatorPorts, startAgent, startAggregator } from './binaries.ts';
import type { AggregatorPorts, Binary } from './binaries.ts';
import { eventually } from './eventually.ts';
import { TestIstiod } from './istiod.ts';
import type { TestIstiodOptions } from './istiod.ts';

/** A whole installation for end-to-end tests: an aggregator, agents and an istiod. Ends with its scope. */
export interface Mesh extends AsyncDisposable {
  readonly ports: AggregatorPorts;
  readonly istiod: TestIstiod;
  aggregator: Binary;
  readonly agents: Map<string, Binary>;
  /** Starts (again) the agent of a registry: `dc1/orders`, with its flags. */
  startAgent(id: string, flags: readonly string[]): Promise<void>;
  startAggregator(): Promise<void>;
  /** `address:port` of every endpoint that istiod holds for a host, or undefined if it has no such host. */
  endpoints(host: string): readonly string[] | undefined;
  /** Waits until the aggregator calls its registry so: `live`, `stale`, ... */
  registryIs(state: string): Promise<void>;
}

export async function startMesh(
  expect: string,
  extra: readonly string[] = [],
  istiodOptions: Partial<TestIstiodOptions> = {},
): Promise<Mesh> {
  const stateDir = mkdtempSync(join(tmpdir(), 'tributary-state-'));
  const ports = await aggregatorPorts();
  const flags = ['--state-dir', stateDir, ...extra];
  const aggregator = await startAggregator(ports, expect, flags);
  const istiod = new TestIstiod({ address: `127.0.0.1:${ports.mcp}`, ...istiodOptions });
  const stop = new AbortController();
  const running = istiod.run(stop.signal);
  const agents = new Map<string, Binary>();
  const mesh: Mesh = {
    ports,
    istiod,
    aggregator,
    agents,
    startAgent: async (id, agentFlags) => {
      agents.set(id, await startAgent(agentFlags, `127.0.0.1:${ports.feed}`));
    },
    startAggregator: async () => {
      mesh.aggregator = await startAggregator(ports, expect, flags);
    },
    endpoints: (host) => {
      const entry = istiod.serviceEntries().get(`tributary/${host}`);
      const [port] = entry?.spec.ports ?? [];
      return entry?.spec.endpoints
        .map(({ address, ports: numbers }) => `${address}:${numbers[port?.name ?? ''] ?? ''}`)
        .sort();
    },
    registryIs: (state) =>
      eventually(async () => {
        const response = await fetch(`http://127.0.0.1:${ports.admin}/api/registries`);
        assert.match(await response.text(), new RegExp(`"state":"${state}"`));
      }),
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
      await Promise.all([...agents.values(), mesh.aggregator].map((binary) => binary.kill()));
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
  return mesh;
}
