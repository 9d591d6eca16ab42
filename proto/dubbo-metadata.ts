import { bytesMethod, codec } from './load.ts';

/** The messages and the method of dubbo/metadata/metadata_service_v2.proto. */

interface MetadataRequest {
  readonly revision: string;
}

/** The services of one revision of an application; all of it can be empty when the provider does not know it. */
export interface MetadataInfoV2 {
  readonly app: string;
  /** The revision. */
  readonly version: string;
  readonly services: Readonly<Record<string, unknown>>;
}

const service = 'org.apache.dubbo.metadata.MetadataServiceV2';

/** `MetadataServiceV2/GetMetadataInfo` for grpc-js, its messages as bytes. */
export const getMetadataInfo = bytesMethod(
  'dubbo/metadata/metadata_service_v2.proto',
  service,
  'GetMetadataInfo',
);

/** Its request. */
export const metadataRequestCodec = codec<MetadataRequest>(
  'org.apache.dubbo.metadata.MetadataRequest',
);

/** Its answer. */
export const metadataInfoCodec = codec<MetadataInfoV2>('org.apache.dubbo.metadata.MetadataInfoV2');
