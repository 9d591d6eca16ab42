/** The status codes of gRPC that are used here. */
export const grpcCode = {
  ok: 0,
  invalidArgument: 3,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

export type GrpcCode = (typeof grpcCode)[keyof typeof grpcCode];

/** How a stream ends. */
export interface GrpcStatus {
  readonly code: GrpcCode;
  /** For the operator of the client; no secrets. */
  readonly message: string;
}

/** Ends the stream on which it is thrown with its status. */
export class GrpcError extends Error {
  override readonly name = 'GrpcError';
  readonly status: GrpcStatus;

  constructor(code: GrpcCode, message: string) {
    super(message);
    this.status = { code, message };
  }
}

const messageBytesMax = 1024;

/** The status as HTTP/2 header fields; the message percent-encoded as gRPC over HTTP/2 says. */
export function statusFields(status: GrpcStatus): Record<string, string> {
  const code = { 'grpc-status': String(status.code) };
  if (status.message === '') return code;
  const bytes = Buffer.from(status.message).subarray(0, messageBytesMax);
  let text = '';
  for (const byte of bytes) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    text += isPlain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return { ...code, 'grpc-message': text };
}
