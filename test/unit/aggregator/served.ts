import { HostNames } from '../../../aggregator/host.ts';
import type { HostOptions } from '../../../aggregator/host.ts';
import { mergeService } from '../../../aggregator/merge.ts';
import type { Service } from '../../../aggregator/merge.ts';
import { ServiceIndex } from '../../../aggregator/service-index.ts';
import type { Instance } from '../../../common/instance.ts';
import { registryId } from './samples.ts';

/** What is served of the instances of several registries, by host. */
export function servicesOf(
  registries: Readonly<Record<string, readonly Instance[]>>,
  parts: {
    readonly domain: string;
    readonly options?: HostOptions | undefined;
    readonly priorities?: Readonly<Record<string, number>>;
  },
): Readonly<Record<string, Service>> {
  const priorities = new Map(
    Object.entries(parts.priorities ?? {}).map(([id, priority]) => [registryId(id), priority]),
  );
  const index = new ServiceIndex(new HostNames(parts.domain, parts.options), priorities);
  for (const [id, instances] of Object.entries(registries)) {
    const byId = new Map(instances.map((one) => [one.id, one]));
    const source = {
      id: registryId(id),
      isServed: true,
      effective: (wanted: string) => byId.get(wanted),
    };
    for (const wanted of byId.keys()) {
      index.take(source, wanted, { isForced: false, touch: () => undefined });
    }
  }
  return Object.fromEntries(
    [...index.hosts].map(([host, { members }]) => [host, mergeService(host, members)]),
  );
}

/** The addresses of a service's endpoints. */
export function addresses(service: Service | undefined): readonly string[] | undefined {
  return service?.endpoints.map(({ address }) => address);
}
