import type { CollectionName } from '../store-types.ts';

/**
 * The type names of Istio's Mesh Configuration Protocol: `group/version/Kind`, what stands in
 * `type_url` of requests and responses. Which of them exist depends on the Istio release, so
 * nothing is assumed of a name but what this file says.
 */

/** The gRPC method of state-of-the-world xDS. */
export const streamAggregatedResources =
  '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';

/**
 * How a requested type is answered: with a collection, with nothing in it because we own none of
 * that type, or not at all.
 */
export type Target = CollectionName | 'empty' | 'silent';

const targets: ReadonlyMap<string, Target> = new Map<string, Target>([
  ['networking.istio.io/v1/ServiceEntry', 'ServiceEntry'],
  ['networking.istio.io/v1beta1/ServiceEntry', 'ServiceEntry'],
  ['networking.istio.io/v1alpha3/ServiceEntry', 'ServiceEntry'],
  ['core/v1alpha1/MeshConfig', 'silent'],
]);

/**
 * The target of a type. Every istiod from 1.16 on stays unready until each type that it asked for
 * was answered, so whatever is unknown, or no type name at all, is answered empty. MeshConfig is
 * the exception: nobody needs an answer, and an empty one deadlocks Istio 1.9 to 1.11.
 */
export function targetOf(typeUrl: string): Target {
  return targets.get(typeUrl) ?? 'empty';
}
