/**
 * The one shape in which everything a registry says travels from the agent to the mesh.
 * Registry words stop at the agent (`agent/<kind>/convert.ts`), Istio words start at the
 * aggregator (`aggregator/render.ts`); between them there are only instances.
 */

/**
 * `UP` alone takes traffic. `GONE` is not a registry's word: it is the last record of a service
 * whose last instance has left, kept by the agent for a while so that the service stays known
 * (an empty service) and routes do not flap when its only instance restarts.
 */
export type InstanceStatus = 'UP' | 'DOWN' | 'STARTING' | 'OUT_OF_SERVICE' | 'UNKNOWN' | 'GONE';

/**
 * `application`: named by an application (Eureka, Spring Cloud); `dubbo-application`: an application of Dubbo 3, which
 * may have a name that one of the others has too; `dubbo`: a Dubbo interface.
 */
export const serviceKinds = ['application', 'dubbo-application', 'dubbo'] as const;

/** One of `serviceKinds`. */
export type ServiceKind = (typeof serviceKinds)[number];

/** What the registry calls the service. */
export interface ServiceKey {
  readonly kind: ServiceKind;
  /** As the registry writes it, but applications in lower case. */
  readonly name: string;
  /** Dubbo only, else empty. */
  readonly group: string;
  /** Dubbo only, else empty. */
  readonly version: string;
}

/** One port of an instance. */
export interface Port {
  /**
   * The application protocol as the registry knows it, lower case: `http`, `https`, `dubbo`, `tri`,
   * `rest`, `grpc`, `tcp`, `http2`, ... The aggregator maps it to a mesh protocol and a host.
   * At most one port of an instance has a given protocol.
   */
  readonly protocol: string;
  /** 1..65535. */
  readonly number: number;
}

/**
 * A further application name under which clients of the registry find the instance. Several applications may have the
 * same one; an instance's own name is none.
 */
export interface Alias {
  /** Lower case. */
  readonly name: string;
  readonly ports: AliasPorts;
}

/**
 * Which ports stand under an alias: all; those that are not secure (all, when every one is secure, since
 * clients then use these); those that are (`https`, `tls`).
 */
export type AliasPorts = 'all' | 'plain' | 'secure';

/** One reachable endpoint as its registry described it, normalized. */
export interface Instance {
  /** Unique within its registry and stable while the endpoint lives. */
  readonly id: string;
  readonly service: ServiceKey;
  /** An IPv4 or IPv6 address without brackets, or a host name (which cannot become an endpoint). */
  readonly address: string;
  /** Sorted by protocol; may be empty (then it is no endpoint). */
  readonly ports: readonly Port[];
  /** Sorted by key; keys and values as the registry wrote them, secrets already dropped. */
  readonly labels: Readonly<Record<string, string>>;
  /** `region/zone/subzone`, trailing parts may be missing, or empty when unknown. */
  readonly locality: string;
  /** Relative share of traffic, or 0 when the registry says nothing. */
  readonly weight: number;
  readonly status: InstanceStatus;
  /** Sorted by name, each name once, at most 16. Absent, never empty, when there are none. */
  readonly aliases?: readonly Alias[];
}

/** One upsert or removal. */
export type Change =
  | { readonly kind: 'upsert'; readonly instance: Instance }
  | { readonly kind: 'removal'; readonly id: string };

/** A text equal for equal service keys and different for different ones. */
export function serviceKeyText(key: ServiceKey): string {
  return `${key.kind}:${key.group}/${key.name}:${key.version}`;
}

/** The text of a service key as an operator reads it, without its empty parts: `orders`, `group/interface:1.0.0`. */
export function describeServiceKey(keyText: string): string {
  return keyText.replace(/^[a-z-]+:\/?/, '').replace(/:$/, '');
}
