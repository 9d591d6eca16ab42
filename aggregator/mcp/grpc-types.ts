import type { GrpcStatus } from './grpc-status.ts';

/**
 * The narrow interface between the gRPC shell and the protocols on it: requests in; encoded
 * slices, then a status, out. The protocols know no HTTP/2, the shell knows no xDS.
 */

/** Who is at the other end. */
export interface GrpcPeer {
  /** Without brackets; an IPv4 address in IPv6 clothes is written as IPv4. */
  readonly address: string;
  readonly port: number;
  /** The client certificate, or undefined when none was presented. */
  readonly certificate: PeerCertificate | undefined;
}

export interface PeerCertificate {
  /** Whether it is signed by an authority that we trust. */
  readonly isTrusted: boolean;
  /** Its subject alternative names without their kinds: DNS names, URIs, addresses. */
  readonly names: readonly string[];
}

/** One message, encoded, in pieces that may be shared with anybody and are never modified. */
export interface EncodedMessage {
  readonly slices: readonly Buffer[];
  /** Sum of the slices' lengths. */
  readonly byteLength: number;
}

/** A stream as the protocol sees it. Nothing here throws, also when the stream has ended. */
export interface GrpcCall {
  readonly peer: GrpcPeer;
  /**
   * Queues a message. `onWritten` is called when its last byte has been handed to the socket, never
   * before `send` returns, and never when the stream ends before.
   */
  send(message: EncodedMessage, onWritten: () => void): void;
  /** Ends the stream after what was queued. Only the first call counts. */
  end(status: GrpcStatus): void;
}

/** The protocol as the shell sees it, one per stream. */
export interface GrpcHandler {
  /** A request. What it throws ends the stream: a ProtocolError as INVALID_ARGUMENT. */
  message(bytes: Buffer): void;
  /** The stream is over. Called exactly once; nothing is called after it. */
  closed(): void;
}

/** Opens the handler of a new stream. */
export type GrpcMethod = (call: GrpcCall) => GrpcHandler;

/** Who may come in. */
export interface GrpcGate {
  /** Whether connections from this address are taken at all. */
  admitConnection(address: string): boolean;
  /** The status to reject a new stream with, or undefined to take it. */
  admitStream(peer: GrpcPeer): GrpcStatus | undefined;
}

/** Why something was turned away; fit for a metric label. */
export type RejectReason =
  'address' | 'sessions' | 'handshake' | 'streams' | 'method' | 'protocol' | 'credentials' | 'rate';
