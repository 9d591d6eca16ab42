import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { readFileSync } from 'node:fs';
import zookeeper from 'node-zookeeper-client';

/**
 * The physical floor as a process of its own: one bare ZooKeeper child watch, and on each event
 * one prebuilt gRPC message to the subscriber. Nothing is read, compared or rendered.
 * Arguments: ZooKeeper address, watched path, file with the message. Prints its port.
 */
const [address = '', path = '', file = ''] = process.argv.slice(2);
const message = readFileSync(file);
const identity = (bytes: Buffer): Buffer => bytes;
const streams = new Set<ServerDuplexStream<Buffer, Buffer>>();

const server = new Server({ 'grpc.max_send_message_length': -1 });
server.addService(
  {
    stream: {
      path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
      requestStream: true,
      responseStream: true,
      requestSerialize: identity,
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: identity,
    },
  },
  {
    stream: (stream: ServerDuplexStream<Buffer, Buffer>) => {
      streams.add(stream);
      stream.on('data', () => undefined);
      stream.on('error', () => undefined);
      stream.on('close', () => streams.delete(stream));
      stream.write(message);
    },
  },
);

const client = zookeeper.createClient(address, { sessionTimeout: 30_000 });

/** The fastest that one-shot watches allow: arm again and push in one go. */
function watch(): void {
  client.getChildren(
    path,
    () => {
      for (const stream of streams) stream.write(message);
      watch();
    },
    () => undefined,
  );
}

client.once('connected', () => {
  watch();
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
    if (error !== null) throw error;
    process.stdout.write(`${port}\n`);
  });
});
client.connect();
