import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grpcPort, plainProtocol, secureProtocol } from '../../../agent/metadata-ports.ts';

const hint = (text: string): ReadonlyMap<string, string> => new Map([['istio.protocol', text]]);

test('only protocols that a mesh knows are taken from metadata', () => {
  for (const name of ['grpc', ' HTTP2 ', 'tcp', 'grpc-web', 'mysql']) {
    assert.equal(plainProtocol(hint(name)), name.trim().toLowerCase());
  }
  for (const name of ['', 'dubbo', 'x']) assert.equal(plainProtocol(hint(name)), undefined);
  assert.equal(plainProtocol(new Map()), undefined);
});

test('a secure port speaks https, or tls when metadata say so', () => {
  assert.equal(secureProtocol(hint('TLS')), 'tls');
  assert.equal(secureProtocol(hint('grpc')), 'https');
  assert.equal(secureProtocol(new Map()), 'https');
});

test('a gRPC port is a number that can be one, under the first key that has it', () => {
  assert.equal(grpcPort(new Map()), undefined);
  for (const key of ['gRPC_port', 'gRPC.port', 'grpc.port', 'grpc_port', 'grpcPort']) {
    assert.deepEqual(grpcPort(new Map([[key, ' 9090 ']])), { protocol: 'grpc', number: 9090 });
  }
  for (const text of ['', '0', '65536', '-1', '9090x', '123456']) {
    assert.equal(grpcPort(new Map([['gRPC_port', text]])), undefined, text);
  }
  const both = new Map([
    ['gRPC_port', 'x'],
    ['grpc.port', '9091'],
  ]);
  assert.equal(grpcPort(both)?.number, 9091);
});
