import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GrpcError, grpcCode, statusFields } from '../../../../aggregator/mcp/grpc-status.ts';

test('an empty message makes no field', () => {
  assert.deepEqual(statusFields({ code: grpcCode.ok, message: '' }), { 'grpc-status': '0' });
});

test('what cannot stand in a header is percent-encoded', () => {
  const fields = statusFields({ code: grpcCode.internal, message: 'a 100% "ü"\r\nx: y\u0000' });
  assert.deepEqual(fields, {
    'grpc-status': '13',
    'grpc-message': 'a 100%25 "%C3%BC"%0D%0Ax: y%00',
  });
});

test('a long message is cut', () => {
  const fields = statusFields({ code: grpcCode.internal, message: 'x'.repeat(10_000) });
  assert.equal(fields['grpc-message']?.length, 1024);
});

test('an error carries its status', () => {
  const error = new GrpcError(grpcCode.unimplemented, 'no');
  assert.deepEqual(error.status, { code: 12, message: 'no' });
  assert.equal(error.message, 'no');
});
