import { Client, credentials } from '@grpc/grpc-js';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { fullJitter } from '../common/backoff.ts';
import { messageOf } from '../common/errors.ts';
import { sleep } from '../common/sleep.ts';
import { codec } from '../proto/load.ts';
import { describeChanges } from './demo-changes.ts';
import type { DemoServiceEntry, DemoServices } from './demo-changes.ts';

/** A protobuf Any as the codecs have it. */
interface Any {
  readonly type_url: string;
  readonly value: Uint8Array;
}

interface DiscoveryResponse {
  readonly versionInfo: string;
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly Any[];
}

interface Resource {
  readonly metadata: { readonly name: string } | null;
  readonly body: Any | null;
}

type Stream = ClientDuplexStream<Record<string, unknown>, DiscoveryResponse>;

const method = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';
const typeUrl = 'networking.istio.io/v1/ServiceEntry';
const reconnect = { baseMs: 500, maxMs: 10_000 };

const requests = codec<Record<string, unknown>>('envoy.service.discovery.v3.DiscoveryRequest');
const responses = codec<DiscoveryResponse>('envoy.service.discovery.v3.DiscoveryResponse');
const resources = codec<Resource>('istio.mcp.v1alpha1.Resource');
const serviceEntries = codec<DemoServiceEntry>('istio.networking.v1alpha3.ServiceEntry');

/** As istiod introduces itself to a configuration source. */
const node = {
  id: 'sidecar~127.0.0.1~demo-istiod.istio-system~istio-system.svc.cluster.local',
  metadata: {
    fields: {
      GENERATOR: { stringValue: 'api' },
      ISTIO_VERSION: { stringValue: '65536.65536.65536' },
    },
  },
};

/**
 * Subscribes to ServiceEntries as istiod does and prints, with the time of day, what each push changes. A
 * stream that ends changes nothing: the next one goes on from what was received. Resolves when
 * the signal has aborted and the connection is closed.
 *
 * @param address `host:port` of the MCP listener
 * @param print takes one line, without a line feed
 */
export async function runDemoSubscriber(
  address: string,
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const client = new Client(address, credentials.createInsecure(), {
    'grpc.initial_reconnect_backoff_ms': reconnect.baseMs,
    'grpc.max_reconnect_backoff_ms': reconnect.maxMs,
  });
  let services: DemoServices = new Map();
  const show = (now: DemoServices): void => {
    printTimed(describeChanges(services, now), print);
    services = now;
  };
  try {
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const { reason, hasReceived } = await runStream(client, show, signal);
      if (hasReceived) {
        attempt = 0;
        if (!isAborted(signal)) printTimed([`the MCP stream ended: ${reason}`], print);
      }
      await sleep(fullJitter(reconnect, attempt), signal);
    }
  } finally {
    client.close();
  }
}

/** One stream from its request to its end. */
async function runStream(
  client: Client,
  show: (services: DemoServices) => void,
  signal: AbortSignal,
): Promise<{ readonly reason: string; readonly hasReceived: boolean }> {
  const stream: Stream = client.makeBidiStreamRequest(
    method,
    (request) => Buffer.from(requests.encode(request)),
    (bytes: Buffer) => responses.decode(bytes),
  );
  const cancel = (): void => stream.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  let hasReceived = false;
  try {
    stream.write({ typeUrl, responseNonce: new Date().toISOString(), node });
    for await (const response of stream as AsyncIterable<DiscoveryResponse>) {
      hasReceived = true;
      show(readServices(response));
      const { versionInfo, nonce } = response;
      stream.write({ typeUrl, versionInfo, responseNonce: nonce, node });
    }
    return { reason: 'the server closed it', hasReceived };
  } catch (error) {
    return { reason: messageOf(error), hasReceived };
  } finally {
    signal.removeEventListener('abort', cancel);
    // What comes after the loop has been left is of no interest, but must not go unheard.
    stream.on('error', () => undefined);
    stream.cancel();
  }
}

function readServices({ resources: anys }: DiscoveryResponse): DemoServices {
  const services = new Map<string, DemoServiceEntry>();
  for (const any of anys) {
    const { body } = resources.decode(any.value);
    if (body === null) continue;
    const entry = serviceEntries.decode(body.value);
    for (const host of entry.hosts) services.set(host, entry);
  }
  return services;
}

function printTimed(lines: readonly string[], print: (line: string) => void): void {
  const time = new Date().toTimeString().slice(0, 8);
  for (const line of lines)
    print(line.startsWith(' ') ? `${' '.repeat(8)} ${line}` : `${time} ${line}`);
}

/** A look at the signal that the compiler does not remember. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
