/** How an Istio release behaves as an MCP client, as far as a server can notice. */
export interface IstiodProfile {
  /** Requested type names in their order, without MeshConfig, which always comes first. */
  readonly types: readonly string[];
  /** Resources are validated before they are stored. */
  readonly isValidating: boolean;
  /** A resource without create time is dropped like an undecodable one. */
  readonly needsCreateTime: boolean;
  /** An update of a resource that has a version fails: only the first version is ever stored. */
  readonly conflictsOnVersion: boolean;
  /** Equal versions are skipped. */
  readonly skipsEqualVersions: boolean;
  /** Resources of another revision are dropped. */
  readonly filtersRevision: boolean;
  /** Not ready until every type was answered. */
  readonly gatesOnSync: boolean;
  /** An empty MeshConfig response ends all processing. */
  readonly wedgesOnMeshConfig: boolean;
  readonly receiveBytesMax: number;
  /** HTTP/2 receive windows, or undefined for the library's default. */
  readonly windowBytes: number | undefined;
  /** Sends keepalive pings. */
  readonly pings: boolean;
}

export type IstioVersion =
  '1.9' | '1.11' | '1.12' | '1.13' | '1.14' | '1.16' | '1.17' | '1.20' | '1.24' | '1.30';

/** The profile of a release, from the release that it names up to the next one listed. */
export function profileOf(version: IstioVersion): IstiodProfile {
  const minor = Number(version.slice(2));
  return {
    types: minor >= 18 ? typesOf(minor).sort(byKind) : typesOf(minor),
    isValidating: minor < 10 || minor >= 14,
    needsCreateTime: minor < 14,
    conflictsOnVersion: minor === 11,
    skipsEqualVersions: minor >= 12,
    filtersRevision: minor >= 13,
    gatesOnSync: minor >= 16,
    wedgesOnMeshConfig: minor < 12,
    receiveBytesMax: minor >= 12 ? 2 ** 31 - 1 : 4 * 1024 * 1024,
    windowBytes: minor >= 12 ? 1024 * 1024 : undefined,
    pings: minor >= 17,
  };
}

function typesOf(minor: number): string[] {
  const networking = `networking.istio.io/${minor >= 24 ? 'v1' : 'v1alpha3'}`;
  const security = `security.istio.io/${minor >= 24 ? 'v1' : 'v1beta1'}`;
  return [
    ...(minor >= 12 ? ['extensions.istio.io/v1alpha1/WasmPlugin'] : []),
    ...(minor >= 30 ? ['extensions.istio.io/v1alpha1/TrafficExtension'] : []),
    `${networking}/DestinationRule`,
    'networking.istio.io/v1alpha3/EnvoyFilter',
    `${networking}/Gateway`,
    `${networking}/ServiceEntry`,
    `${networking}/Sidecar`,
    `${networking}/VirtualService`,
    `${networking}/WorkloadEntry`,
    `${networking}/WorkloadGroup`,
    ...(minor >= 13 ? ['networking.istio.io/v1beta1/ProxyConfig'] : []),
    `${security}/AuthorizationPolicy`,
    `${security}/PeerAuthentication`,
    `${security}/RequestAuthentication`,
    ...(minor >= 10 ? [`telemetry.istio.io/${minor >= 24 ? 'v1' : 'v1alpha1'}/Telemetry`] : []),
  ];
}

function byKind(a: string, b: string): number {
  const kindA = a.slice(a.lastIndexOf('/'));
  const kindB = b.slice(b.lastIndexOf('/'));
  return kindA < kindB ? -1 : 1;
}
