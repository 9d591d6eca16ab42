import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { formatHostPort } from '../../../../common/address.ts';
import { TransientError } from '../../../../common/errors.ts';
import {
  getMetadataInfo,
  metadataInfoCodec,
  metadataRequestCodec,
} from '../../../../proto/dubbo-metadata.ts';
import type { KeySet } from '../parameters.ts';
import { metadataInfoOf } from './metadata.ts';
import type { AskProvider } from './provider-questions.ts';
import type { DubboInstanceRecord } from './record.ts';

/**
 * Asks a provider of Dubbo 3.3 or later for the services of its revision: `MetadataServiceV2` over Triple, which a gRPC
 * client can call. In plain text, one connection a call: a revision is asked for once.
 */
export interface MetadataServiceOptions {
  /** The parameters that are kept. */
  readonly wanted: KeySet;
  /** How long a call may take, connecting included. Milliseconds. */
  readonly deadlineMs?: number;
  /** Where to call, `host:port`; by default where the registration says. */
  readonly dial?: (record: DubboInstanceRecord) => string;
}

const deadlineDefaultMs = 3000;
/** Thousands of services with a kilobyte each. */
const answerBytesMax = 16 * 1024 * 1024;
/** The version that the service is exported with; its group is the application. */
const serviceVersion = '2.0.0';

const channelOptions = {
  'grpc.max_receive_message_length': answerBytesMax,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  // What a registry says is dialled as it is, not through a proxy of the environment.
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
};

/** Asks over the network. Rejects with TransientError when there is no answer that could be understood. */
export function createAskProvider(options: MetadataServiceOptions): AskProvider {
  const { wanted, deadlineMs = deadlineDefaultMs, dial = addressOf } = options;
  return async (record, signal) => {
    const { application, revision } = record;
    const address = dial(record);
    const answer = await call(address, record, { deadlineMs, signal });
    const info = decode(answer, address);
    if (info.version !== revision) return undefined;
    return metadataInfoOf({ services: info.services }, { application, root: '', wanted });
  };
}

function decode(answer: Buffer, address: string): ReturnType<typeof metadataInfoCodec.decode> {
  try {
    return metadataInfoCodec.decode(answer);
  } catch (cause) {
    throw new TransientError(`dubbo ${address}: an answer that is no metadata`, { cause });
  }
}

function call(
  address: string,
  { application, revision }: DubboInstanceRecord,
  { deadlineMs, signal }: { readonly deadlineMs: number; readonly signal: AbortSignal },
): Promise<Buffer> {
  const { path, requestSerialize, responseDeserialize } = getMetadataInfo;
  const headers = new Metadata();
  headers.set('tri-service-group', application);
  headers.set('tri-service-version', serviceVersion);
  const request = Buffer.from(metadataRequestCodec.encode({ revision }));
  const client = new Client(address, credentials.createInsecure(), channelOptions);
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + deadlineMs };
    const done = (error: ServiceError | null, answer?: Buffer): void => {
      signal.removeEventListener('abort', cancel);
      client.close();
      if (answer !== undefined) resolve(answer);
      else reject(new TransientError(`dubbo ${address}: GetMetadataInfo`, { cause: error }));
    };
    const underWay = client.makeUnaryRequest(
      ...([path, requestSerialize, responseDeserialize, request, headers, options, done] as const),
    );
    const cancel = (): void => {
      underWay.cancel();
    };
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
  });
}

/** Its metadata service can have a port of its own. */
function addressOf({ address, port, metadataService }: DubboInstanceRecord): string {
  return formatHostPort({ host: address, port: metadataService?.port ?? port });
}
