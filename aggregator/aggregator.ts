import type { Logger } from 'pino';
import { formatHostPort } from '../common/address.ts';
import type { HostPort } from '../common/address.ts';
import { limitYoungHeap } from '../common/heap.ts';
import { HttpServer } from '../common/http-server.ts';
import { guardOfAll, limitsOf } from '../common/guard-limits.ts';
import type { GuardPolicy } from '../common/guard.ts';
import { healthRoutes } from '../common/metrics.ts';
import type { Readiness } from '../common/metrics.ts';
import type { RegistryId } from '../common/registry.ts';
import { isRegistryId } from '../common/registry.ts';
import { runAll } from '../common/run-all.ts';
import type { Part } from '../common/run-all.ts';
import { untilAborted } from '../common/until-aborted.ts';
import { softwareVersion } from '../common/version.ts';
import { adminRoutes } from './admin.ts';
import type { ServingValues } from './config.ts';
import { FeedServer } from './feed-server.ts';
import type { FeedServerOptions } from './feed-server.ts';
import type { McpObserver } from './mcp/observer.ts';
import { McpServer, mcpDefaults } from './mcp/server.ts';
import type { McpOptions } from './mcp/server.ts';
import type { AggregatorMetrics } from './metrics.ts';
import { Pipeline } from './pipeline.ts';
import type { PipelineOptions } from './pipeline.ts';
import { RecentLag } from './recent-lag.ts';
import type { AggregatorView } from './view.ts';

/** Where an aggregator's listeners really are, for logs and tests. */
export interface Listening {
  readonly mcp: HostPort;
  readonly feed: HostPort;
  readonly metrics: HostPort;
  readonly admin: HostPort;
}

export interface AggregatorOptions {
  readonly values: ServingValues;
  readonly expected: readonly RegistryId[];
  readonly feed: FeedServerOptions;
}

/**
 * The aggregator: feed server, core, MCP server, metrics and admin listeners, wired. Readiness speaks of MCP
 * only: the feed is open from the moment that saved state is in force, else nobody could ever become ready.
 */
export class Aggregator {
  private readonly options: AggregatorOptions;
  private readonly metrics: AggregatorMetrics;
  private readonly log: Logger;
  private readonly pipeline: Pipeline;
  private readonly feed: FeedServer;
  private readonly mcp: McpServer;
  private readonly lag = new RecentLag();
  private isStopping = false;
  private isMcpListening = false;

  constructor(options: AggregatorOptions, metrics: AggregatorMetrics, log: Logger) {
    this.options = options;
    this.metrics = metrics;
    this.log = log;
    this.pipeline = new Pipeline(pipelineOptions(options), metrics.pipeline, log);
    this.feed = new FeedServer(options.feed, this.pipeline.sink, metrics.feed, log);
    this.mcp = new McpServer(
      mcpOptions(options.values),
      this.pipeline.store,
      this.observeMcp(metrics.mcp),
      log,
    );
    metrics.watch(this.view(), () => this.pipeline.totals());
  }

  /**
   * Runs until the signal aborts; then, in this order: not ready, streams ended, state saved, metrics and admin
   * closed. Rejects on a defect, or with ListenError.
   */
  async run(signal: AbortSignal, onListening: (listening: Listening) => void): Promise<void> {
    const found: Partial<Record<keyof Listening, HostPort>> = {};
    const note = (name: keyof Listening) => (address: HostPort) => {
      found[name] = address;
      const { mcp, feed, metrics, admin } = found;
      this.isMcpListening = mcp !== undefined;
      if (mcp && feed && metrics && admin) onListening({ mcp, feed, metrics, admin });
    };
    signal.addEventListener('abort', () => (this.isStopping = true), { once: true });
    const { values } = this.options;
    const metricsServer = new HttpServer(
      {
        listen: values.metricsListen,
        flag: '--metrics-listen',
        routes: healthRoutes(this.metrics.factory.registry, () => this.readiness()),
      },
      this.log,
    );
    const adminServer = new HttpServer(
      {
        listen: values.adminListen,
        flag: '--admin-listen',
        routes: this.adminRoutes(),
        allowedHosts: values.adminHosts,
      },
      this.log,
    );
    await runAll(signal, [
      [
        (stop) => this.mcp.run(stop, note('mcp')),
        this.whenReady((stop) => this.feed.run(stop, note('feed'))),
      ],
      [(stop) => this.pipeline.run(stop), limitYoungHeap],
      [
        (stop) => metricsServer.run(stop, note('metrics')),
        (stop) => adminServer.run(stop, note('admin')),
      ],
    ]);
  }

  view(): AggregatorView {
    const { pipeline, mcp } = this;
    return {
      isComplete: () => pipeline.isComplete(),
      registries: () =>
        pipeline.registries().map((registry) => ({ ...registry, lag: this.lag.of(registry.id) })),
      services: (filter, limit) => pipeline.services(filter, limit),
      serviceCount: () => pipeline.serviceCount(),
      subscribers: () => mcp.subscribers(),
    };
  }

  /** The metrics' observer, and the page's. */
  private observeMcp(observer: McpObserver): McpObserver {
    return {
      subscribers: (count) => observer.subscribers(count),
      subscriberGone: (subscriber) => observer.subscriberGone(subscriber),
      pushed: (type, byteLength) => observer.pushed(type, byteLength),
      receivedToWritten: (subscriber, ms) => observer.receivedToWritten(subscriber, ms),
      writtenToAcknowledged: (subscriber, ms) => observer.writtenToAcknowledged(subscriber, ms),
      observedToAcknowledged: (registry, ms) => {
        observer.observedToAcknowledged(registry, ms);
        this.lag.note(registry, ms);
      },
      nacked: (type) => observer.nacked(type),
      rejected: (reason) => observer.rejected(reason),
    };
  }

  /** Starts a part once saved state is in force. */
  private whenReady(part: Part): Part {
    return async (signal) => {
      await Promise.race([this.pipeline.ready, untilAborted(signal)]);
      if (!signal.aborted) await part(signal);
    };
  }

  private adminRoutes(): ReturnType<typeof adminRoutes> {
    return adminRoutes(
      {
        view: this.view(),
        forget: async (registry) => {
          const outcome = await this.pipeline.forget(registry);
          if (outcome === 'forgotten') {
            this.feed.forget(registry);
            this.lag.forget(registry);
          }
          return outcome;
        },
        release: (registry) => this.pipeline.release(registry),
        explain: (host) => this.pipeline.explain(host),
      },
      softwareVersion,
    );
  }

  private readiness(): Readiness {
    if (this.isStopping) return { isReady: false, reason: 'stopping' };
    if (!this.isMcpListening) return { isReady: false, reason: 'MCP is not listening yet' };
    if (this.pipeline.isComplete()) return { isReady: true, reason: '' };
    const waiting = this.pipeline
      .registries()
      .filter(({ isExpected, isHeard }) => isExpected && !isHeard)
      .map(({ id }) => id);
    const isHeard = waiting.length === 0;
    const reason = isHeard ? 'preparing the first answer' : `not heard yet: ${waiting.join(', ')}`;
    return { isReady: false, reason };
  }
}

function pipelineOptions({ values, expected }: AggregatorOptions): PipelineOptions {
  const { domain, namespace, stateDir } = values;
  const priorities = new Map<RegistryId, number>();
  for (const [id, priority] of Object.entries(values.priorities)) {
    if (isRegistryId(id)) priorities.set(id, priority);
  }
  return {
    expected,
    domain,
    namespace,
    stateDir,
    guardPolicies: guardPoliciesOf(values),
    priorities,
    pins: new Map(Object.entries(values.pins)),
    hosts: { dubboTags: values.dubboTags, hasInterfaceHosts: values.dubboInterfaceHosts },
  };
}

/** Flags hold for both kinds of registry, the file's rows for one registry each. */
function guardPoliciesOf(values: ServingValues): Record<string, Partial<GuardPolicy>> {
  const all = guardOfAll(values);
  const rows = Object.entries(values.guard).map(([id, row]) => [id, limitsOf(row)] as const);
  return { eureka: all, zookeeper: all, ...Object.fromEntries(rows) };
}

function mcpOptions(values: ServingValues): McpOptions {
  const { mcpCert, mcpKey } = values;
  return {
    ...mcpDefaults,
    ...values.mcpListen,
    tls:
      mcpCert === undefined || mcpKey === undefined
        ? undefined
        : {
            certFile: mcpCert,
            keyFile: mcpKey,
            clientCaFile: values.mcpClientCa,
            requireClientCertificate: values.mcpRequireClientCertificate,
            allowedNames: values.mcpAllowedNames,
          },
    allow: values.mcpAllow,
    pace: { ...mcpDefaults.pace, share: values.mcpShare, minIntervalMs: values.mcpMinInterval },
    maxConnectionAgeMs: values.mcpMaxConnectionAge,
  };
}

/** One log line that says where everything is. */
export function logListening(log: Logger, listening: Listening): void {
  const addresses = Object.fromEntries(
    Object.entries(listening).map(([name, address]: [string, HostPort]) => [
      name,
      formatHostPort(address),
    ]),
  );
  log.info(addresses, 'listening');
}
