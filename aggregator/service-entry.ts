/** Istio's ServiceEntry as Tributary writes it: the fields of the .proto that it uses. */
export interface ServiceEntry {
  readonly hosts: readonly string[];
  readonly addresses: readonly string[];
  readonly ports: readonly {
    readonly number: number;
    readonly protocol: string;
    readonly name: string;
  }[];
  readonly location: number;
  readonly resolution: number;
  readonly endpoints: readonly WorkloadEntry[];
}

/** One endpoint of a ServiceEntry. An absent field has its default. */
export interface WorkloadEntry {
  readonly address: string;
  readonly ports: Readonly<Record<string, number>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly network?: string;
  readonly locality?: string;
  readonly weight?: number;
}

/** What stands around it in an MCP resource. */
interface ResourceMetadata {
  /** `namespace/name`. */
  readonly name: string;
  /** Seconds since 1970. */
  readonly createTime: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A resource before it is encoded. */
export interface RenderedService {
  readonly metadata: ResourceMetadata;
  readonly entry: ServiceEntry;
}

/** MESH_INTERNAL. */
export const meshInternal = 1;
/** STATIC. */
export const staticResolution = 1;
