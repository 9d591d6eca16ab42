import { formatHostPort } from '../common/address.ts';
import { runAll } from '../common/run-all.ts';
import { sleep } from '../common/sleep.ts';
import { demoSteps, initialInstances } from './demo-services.ts';
import type { DemoInstance, DemoStep } from './demo-services.ts';
import type { Registration } from './eureka-registry/model.ts';
import { createEurekaRegistry } from './eureka-registry/registry.ts';
import type { EurekaRegistry } from './eureka-registry/registry.ts';
import { serveEurekaRegistry } from './eureka-registry/server.ts';

/** From one event to the next: time to read a line, short enough not to wait for one. */
const stepIntervalMs = 2_500;
const heartbeatIntervalMs = 10_000;

/**
 * The registry of the demo: Eureka-compatible, on a free loopback port, with services that change
 * until the signal aborts. Its caches are off, so that what happens is seen at once. Real
 * applications may register as well.
 *
 * @param onReady called once with the service URL, the first instances being registered
 */
export async function runDemoRegistry(
  signal: AbortSignal,
  onReady: (serviceUrl: string) => void,
): Promise<void> {
  const registry = createEurekaRegistry({ readOnlyCacheMs: 0 });
  const shop = new DemoShop(registry);
  await runAll(signal, [
    [(stop) => act(shop, stop), (stop) => keepAlive(shop, stop)],
    [
      (stop) =>
        serveEurekaRegistry(registry, { host: '127.0.0.1', port: 0 }, stop, (address) =>
          onReady(`http://${formatHostPort(address)}/eureka/`),
        ),
    ],
  ]);
}

/** The applications of the demo: who is there, registered in a registry. */
export class DemoShop {
  private readonly registry: EurekaRegistry;
  private readonly present = new Map<string, DemoInstance>();

  constructor(registry: EurekaRegistry) {
    this.registry = registry;
    for (const instance of initialInstances()) this.register(instance);
  }

  /** Lets one event of the demo happen. */
  apply({ kind, instance }: DemoStep): void {
    const { app, id } = instance;
    switch (kind) {
      case 'register':
        this.register(instance);
        return;
      case 'drain':
        this.registry.setStatus(app, id, 'OUT_OF_SERVICE');
        return;
      case 'restore':
        this.registry.deleteStatus(app, id, 'UP');
        return;
      case 'leave':
        this.present.delete(id);
        this.registry.cancel(app, id);
    }
  }

  /** Renews every lease; an instance that the registry has forgotten registers again, as Eureka's clients do. */
  heartbeat(): void {
    for (const instance of this.present.values()) {
      if (!this.registry.heartbeat(instance.app, instance.id)) this.register(instance);
    }
  }

  private register(instance: DemoInstance): void {
    this.present.set(instance.id, instance);
    this.registry.register(toRegistration(instance, this.registry.options.now()));
  }
}

async function act(shop: DemoShop, signal: AbortSignal): Promise<void> {
  for (const step of demoSteps()) {
    await sleep(stepIntervalMs, signal);
    if (signal.aborted) return;
    shop.apply(step);
  }
}

async function keepAlive(shop: DemoShop, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(heartbeatIntervalMs, signal);
    shop.heartbeat();
  }
}

function toRegistration(instance: DemoInstance, now: number): Registration {
  const { app, id, ipAddr, port, isSecure, zone, version, weight } = instance;
  const name = app.toLowerCase();
  return {
    instanceId: id,
    hostName: `${id}.shop.example`,
    app,
    ipAddr,
    status: 'UP',
    overriddenStatus: 'UNKNOWN',
    port: { number: isSecure ? 80 : port, enabled: !isSecure },
    securePort: { number: isSecure ? port : 443, enabled: isSecure },
    countryId: 1,
    dataCenterInfo: {
      className: 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo',
      name: 'MyOwn',
      metadata: {},
    },
    renewalIntervalSecs: 30,
    durationSecs: 90,
    metadata: { zone, version, weight: String(weight) },
    texts: { vipAddress: name, secureVipAddress: name },
    lastDirtyTimestamp: now,
  };
}
