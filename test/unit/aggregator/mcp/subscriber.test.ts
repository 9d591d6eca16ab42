import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import type { GrpcStatus } from '../../../../aggregator/mcp/grpc-status.ts';
import type { EncodedMessage } from '../../../../aggregator/mcp/grpc-types.ts';
import type { McpObserver } from '../../../../aggregator/mcp/observer.ts';
import { ResponseCache } from '../../../../aggregator/mcp/response.ts';
import { Subscriber } from '../../../../aggregator/mcp/subscriber.ts';
import type { CollectionState } from '../../../../aggregator/store-types.ts';
import { codec } from '../../../../proto/load.ts';

const requests = codec<Record<string, unknown>>('envoy.service.discovery.v3.DiscoveryRequest');
const typeUrl = 'networking.istio.io/v1/ServiceEntry';
const noop = (): void => undefined;
const observer: McpObserver = {
  subscribers: noop,
  subscriberGone: noop,
  pushed: noop,
  receivedToWritten: noop,
  writtenToAcknowledged: noop,
  observedToAcknowledged: noop,
  nacked: noop,
  rejected: noop,
};

/** A subscriber on a call that only takes notes. */
function makeSubscriber(state: { latest: CollectionState | undefined }): {
  readonly subscriber: Subscriber;
  readonly sent: { readonly message: EncodedMessage; readonly written: () => void }[];
  readonly ends: GrpcStatus[];
  readonly send: (fields: Record<string, unknown>) => void;
} {
  const sent: { message: EncodedMessage; written: () => void }[] = [];
  const ends: GrpcStatus[] = [];
  const call = {
    peer: { address: '2001:db8::1', port: 7, certificate: undefined },
    send: (message: EncodedMessage, written: () => void) => void sent.push({ message, written }),
    end: (status: GrpcStatus) => void ends.push(status),
  };
  const subscriber = new Subscriber(1, call, {
    pace: { minIntervalMs: 150, maxIntervalMs: 10_000, share: 0.3 },
    responses: new ResponseCache(),
    observer,
    log: pino({ level: 'silent' }),
    stateOf: () => state.latest,
    left: noop,
  });
  const send = (fields: Record<string, unknown>): void =>
    subscriber.message(Buffer.from(requests.encode(fields)));
  return { subscriber, sent, ends, send };
}

function stateOf(revision: number, byteLength = 0): CollectionState {
  return { revision, versionInfo: `v${revision}`, segments: [], byteLength, count: 0 };
}

test('a push that has to wait goes when its time has come', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const clock = context.mock.method(performance, 'now', () => 1_000);
  const state = { latest: stateOf(1) };
  const { subscriber, sent, send } = makeSubscriber(state);
  send({ typeUrl, responseNonce: 'garbage', node: { id: 'n' } });
  sent[0]?.written();
  send({ typeUrl, responseNonce: '1' });
  state.latest = stateOf(2);
  subscriber.changed('ServiceEntry', []);
  assert.equal(sent.length, 1);
  clock.mock.mockImplementation(() => 1_149);
  context.mock.timers.tick(149);
  assert.equal(sent.length, 1);
  clock.mock.mockImplementation(() => 1_151);
  context.mock.timers.tick(2);
  assert.equal(sent.length, 2);
  subscriber.closed();
});

test('nothing is sent after the stream has closed', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const state = { latest: stateOf(1) };
  const { subscriber, sent, send } = makeSubscriber(state);
  send({ typeUrl });
  sent[0]?.written();
  send({ typeUrl, responseNonce: '1' });
  state.latest = stateOf(2);
  subscriber.changed('ServiceEntry', []);
  subscriber.closed();
  subscriber.changed('ServiceEntry', []);
  sent[0]?.written();
  context.mock.timers.tick(60_000);
  assert.equal(sent.length, 1);
});

test('a response that no gRPC client could take ends the stream', () => {
  const { subscriber, sent, ends, send } = makeSubscriber({ latest: stateOf(1, 2 ** 31) });
  send({ typeUrl });
  assert.equal(sent.length, 0);
  assert.deepEqual(ends, [{ code: 8, message: 'response too long for gRPC' }]);
  subscriber.closed();
});

test('a node id of any length is shown shortened', () => {
  const { subscriber, send } = makeSubscriber({ latest: undefined });
  send({ typeUrl, node: { id: 'x'.repeat(100_000) } });
  const view = subscriber.view();
  assert.equal(view.node.length, 256);
  assert.equal(view.peer, '2001:db8::1 7');
  subscriber.closed();
});
