import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EurekaRegistry } from '../../standalone/eureka-registry/registry.ts';
import { eurekaRequestListener } from '../../standalone/eureka-registry/server.ts';
import { readRegistration } from '../../standalone/eureka-registry/registration.ts';

/**
 * The embedded registry as a process of its own, filled with `services` x `endpoints`, no response
 * cache. The parent sends `{ service, instance }` to register one more; the answer `{ instance, visibleAt }` gives the
 * moment (CLOCK_MONOTONIC milliseconds) at which the first response that shows it was handed over.
 */
const [services = 0, endpoints = 0] = process.argv.slice(2).map(Number);
let clockOffsetMs = -300_000;
const registry = new EurekaRegistry({ readOnlyCacheMs: 0, now: () => Date.now() + clockOffsetMs });
const unseen = new Map<number, number>();

function register(service: number, instance: number): void {
  const app = `BENCH-${String(service).padStart(5, '0')}`;
  const ip = `10.${(instance >> 16) & 255}.${(instance >> 8) & 255}.${instance & 255}`;
  const body = {
    instance: {
      instanceId: `${ip}:${app.toLowerCase()}:8080`,
      hostName: ip,
      app,
      ipAddr: ip,
      status: 'UP',
      vipAddress: app.toLowerCase(),
      homePageUrl: `http://${ip}:8080/`,
      statusPageUrl: `http://${ip}:8080/actuator/info`,
      healthCheckUrl: `http://${ip}:8080/actuator/health`,
      port: { $: 8080, '@enabled': 'true' },
      securePort: { $: 443, '@enabled': 'false' },
      dataCenterInfo: {
        '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo',
        name: 'MyOwn',
      },
      leaseInfo: { renewalIntervalInSecs: 30, durationInSecs: 86_400 },
      metadata: { 'management.port': '8081', version: '1.10', zone: 'eu-west-1a', profile: 'prod' },
    },
  };
  registry.register(readRegistration(JSON.stringify(body), app, Date.now() + clockOffsetMs));
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

for (let service = 0; service < services; service += 1) {
  for (let endpoint = 0; endpoint < endpoints; endpoint += 1) {
    register(service, service * endpoints + endpoint + 1);
  }
}
// The seed was five minutes ago: else it would stand in every delta for three minutes.
clockOffsetMs = 0;
registry.purge();

const listener = eurekaRequestListener(registry);
const server = createServer((request, response) => {
  const seen = [...unseen.keys()];
  const isList = request.method === 'GET' && /\/apps(\/delta)?\/?$/.test(request.url ?? '');
  if (isList && seen.length > 0) {
    const end = response.end.bind(response);
    response.end = ((chunk: Buffer) => {
      const visibleAt = monotonicMs();
      for (const instance of seen) {
        if (!unseen.delete(instance)) continue;
        process.send?.({ instance, visibleAt });
      }
      return end(chunk);
    }) as typeof response.end;
  }
  listener(request, response);
});
server.listen(0, '127.0.0.1', () =>
  process.send?.({ port: (server.address() as AddressInfo).port }),
);

process.on('message', ({ service, instance }: { service: number; instance: number }) => {
  register(service, instance);
  unseen.set(instance, service);
});
process.on('disconnect', () => process.exit(0));
