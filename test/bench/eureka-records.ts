/** Records and bodies as an Eureka server of Spring Cloud writes them with its default codec. */

interface Registry {
  readonly services: number;
  readonly endpoints: number;
}

/** Something that happened to one instance. */
export interface RecordState {
  /** Counts from 0 over all services. */
  readonly instance: number;
  readonly action: 'ADDED' | 'DELETED';
  /** 0 = as registered at first; each other number has metadata and times of its own. */
  readonly generation: number;
}

/** The same in all processes of one run: children inherit it. */
const registeredAt = Number((process.env.BENCH_REGISTERED_AT ??= `${Date.now() - 3_600_000}`));

/** The service of an instance: neighbours are of different services, as what changes at one time is. */
function appOf({ services }: Registry, instance: number): string {
  return `BENCH-${String(instance % services).padStart(5, '0')}`;
}

/** About 1 kB as JSON. */
function benchRecord(registry: Registry, state: RecordState): Readonly<Record<string, unknown>> {
  const { instance, action, generation } = state;
  const app = appOf(registry, instance);
  const name = app.toLowerCase();
  const ip = `10.${(instance >> 16) & 255}.${(instance >> 8) & 255}.${instance & 255}`;
  const at = String(registeredAt + (generation === 0 ? 0 : 3_000_000 + generation));
  return {
    instanceId: `${ip}:${name}:8080`,
    hostName: ip,
    app,
    ipAddr: ip,
    status: 'UP',
    overriddenStatus: 'UNKNOWN',
    port: { $: 8080, '@enabled': 'true' },
    securePort: { $: 443, '@enabled': 'false' },
    countryId: 1,
    dataCenterInfo: {
      '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo',
      name: 'MyOwn',
    },
    leaseInfo: {
      renewalIntervalInSecs: 30,
      durationInSecs: 90,
      registrationTimestamp: registeredAt + instance,
      lastRenewalTimestamp: Date.now(),
      evictionTimestamp: 0,
      serviceUpTimestamp: registeredAt + instance,
    },
    metadata: {
      'management.port': '8081',
      version: generation === 0 ? '1.10' : `1.10.${generation}`,
      zone: 'eu-west-1a',
      profile: 'prod',
    },
    homePageUrl: `http://${ip}:8080/`,
    statusPageUrl: `http://${ip}:8080/actuator/info`,
    healthCheckUrl: `http://${ip}:8080/actuator/health`,
    vipAddress: name,
    secureVipAddress: name,
    isCoordinatingDiscoveryServer: 'false',
    lastUpdatedTimestamp: at,
    lastDirtyTimestamp: at,
    actionType: action,
  };
}

/** The body of `apps` or `apps/delta`, in pieces. */
export function* bodyOf(
  registry: Registry,
  states: readonly RecordState[],
  head: { readonly version: number; readonly up: number },
): Generator<Buffer> {
  const census = head.up === 0 ? '' : `UP_${head.up}_`;
  yield Buffer.from(
    `{"applications":{"versions__delta":"${head.version}","apps__hashcode":"${census}","application":[`,
  );
  const byApp = Map.groupBy(states, ({ instance }) => appOf(registry, instance));
  let separator = '';
  for (const [name, own] of byApp) {
    const instance = own.map((state) => benchRecord(registry, state));
    yield Buffer.from(`${separator}${JSON.stringify({ name, instance })}`);
    separator = ',';
  }
  yield Buffer.from(']}}');
}

/** What a batch is of: the first `count` instances, as of a generation. */
interface Batch {
  readonly count: number;
  readonly generation: number;
}

/** The body in which a server passes on that instances have registered. */
export function registers(registry: Registry, batch: Batch): string {
  return replicated(batch, (instance) => {
    const state = { instance, action: 'ADDED', generation: batch.generation } as const;
    const info = benchRecord(registry, state);
    return { ...envelope(info), instanceInfo: info, action: 'Register' };
  });
}

/** The body in which a server passes on their heartbeats. */
export function heartbeats(registry: Registry, batch: Batch): string {
  return replicated(batch, (instance) => {
    const state = { instance, action: 'ADDED', generation: batch.generation } as const;
    return { ...envelope(benchRecord(registry, state)), action: 'Heartbeat' };
  });
}

function envelope(info: ReturnType<typeof benchRecord>): object {
  const { app, instanceId, lastDirtyTimestamp, status } = info;
  return { appName: app, id: instanceId, lastDirtyTimestamp: Number(lastDirtyTimestamp), status };
}

function replicated({ count }: Batch, item: (instance: number) => object): string {
  return JSON.stringify({ replicationList: Array.from({ length: count }, (_, i) => item(i)) });
}
