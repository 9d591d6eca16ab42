import { ProtocolError } from '../../../common/errors.ts';
import { JuteReader, JuteWriter } from './jute.ts';

/**
 * The messages of the ZooKeeper client protocol that a reader needs, as of server 3.6 (addWatch,
 * multiRead); the rest is understood by every server since 3.4. Pure: bytes in, values out.
 */

/** Operation codes. */
export const opcodes = {
  exists: 3,
  getData: 4,
  getChildren: 8,
  sync: 9,
  ping: 11,
  getChildren2: 12,
  multiRead: 22,
  auth: 100,
  sasl: 102,
  addWatch: 106,
  closeSession: -11,
} as const;

/** Transaction ids that are no numbers of requests. */
export const xids = { event: -1, ping: -2, auth: -4 } as const;

/** What a watch event says happened. Other values exist (session states) and are of no interest. */
export const eventTypes = { created: 1, deleted: 2, dataChanged: 3, childrenChanged: 4 } as const;

const persistentRecursive = 1;
const statBytes = 68;
/** Where in a stat these stand; behind the children, at its end, the transaction of their last change. */
const changesAt = 36;
const childrenAt = 56;

/** A session request. */
export interface ConnectRequest {
  /** A server that is behind this refuses the session by closing the connection. */
  readonly lastZxidSeen: bigint;
  readonly sessionTimeoutMs: number;
}

/** A session, as granted. A timeout of 0 or less means that there is none. */
export interface ConnectResponse {
  readonly sessionTimeoutMs: number;
  readonly sessionId: bigint;
}

/** What stands in front of every reply and event. */
export interface ReplyHeader {
  readonly xid: number;
  readonly zxid: bigint;
  readonly error: number;
}

/** One operation of a multiRead. */
export interface ReadOperation {
  readonly kind: 'children' | 'data';
  /** As the server knows it: chroot included. */
  readonly path: string;
}

/** The answer to one operation of a multiRead. `error` is 0, or the operation failed by itself. */
export interface ReadResult {
  readonly error: number;
  /** Names of the children, in no order; empty for a data operation. */
  readonly children: readonly string[];
  /** Null if there is none, and for a children operation. */
  readonly data: Buffer | null;
  /** Of a data operation that did not fail. */
  readonly stat?: NodeStat;
}

/** What a node says of its children. */
export interface NodeStat {
  readonly children: number;
  /** How often one has come or gone, modulo 2^32, signed. */
  readonly changes: number;
  /** The transaction in which one came or went last. */
  readonly changedAt: bigint;
}

/**
 * Asks for a new session. The read-only flag is present and false: a server that has lost its
 * quorum, and so may be arbitrarily behind, refuses us.
 */
export function encodeConnectRequest(request: ConnectRequest): Buffer {
  return new JuteWriter()
    .int(0)
    .long(request.lastZxidSeen)
    .int(request.sessionTimeoutMs)
    .long(0n)
    .buffer(Buffer.alloc(16))
    .bool(false)
    .frame();
}

export function decodeConnectResponse(content: Buffer): ConnectResponse {
  const reader = new JuteReader(content);
  reader.int();
  return { sessionTimeoutMs: reader.int(), sessionId: reader.long() };
}

export function decodeReplyHeader(reader: JuteReader): ReplyHeader {
  return { xid: reader.int(), zxid: reader.long(), error: reader.int() };
}

/** The event that follows a header with the event's xid. */
export function decodeEvent(reader: JuteReader): { readonly type: number; readonly path: string } {
  const type = reader.int();
  reader.int();
  return { type, path: reader.text() };
}

/** A request without a body: ping, closeSession. */
export function encodeBare(xid: number, opcode: number): Buffer {
  return new JuteWriter().int(xid).int(opcode).frame();
}

/** The digest scheme; `credential` is `user:password`. */
export function encodeDigestAuth(credential: string): Buffer {
  return new JuteWriter()
    .int(xids.auth)
    .int(opcodes.auth)
    .int(0)
    .text('digest')
    .buffer(Buffer.from(credential))
    .frame();
}

/** One step of SASL; the body of the reply is the server's token. */
export function encodeSasl(xid: number, token: Buffer): Buffer {
  return new JuteWriter().int(xid).int(opcodes.sasl).buffer(token).frame();
}

/** `sync`. */
export function encodeSync(xid: number, path: string): Buffer {
  return new JuteWriter().int(xid).int(opcodes.sync).text(path).frame();
}

/** `exists`, `getData`, `getChildren` or `getChildren2`, without a watch. */
export function encodeRead(
  xid: number,
  opcode: (typeof opcodes)['exists' | 'getData' | 'getChildren' | 'getChildren2'],
  path: string,
): Buffer {
  return new JuteWriter().int(xid).int(opcode).text(path).bool(false).frame();
}

/** A persistent recursive watch: every creation, deletion and data change at and below the path. */
export function encodeAddWatch(xid: number, path: string): Buffer {
  return new JuteWriter()
    .int(xid)
    .int(opcodes.addWatch)
    .text(path)
    .int(persistentRecursive)
    .frame();
}

/** Many reads in one request. Sets no watches. */
export function encodeMultiRead(xid: number, operations: readonly ReadOperation[]): Buffer {
  const writer = new JuteWriter().int(xid).int(opcodes.multiRead);
  for (const { kind, path } of operations) {
    const opcode = kind === 'children' ? opcodes.getChildren : opcodes.getData;
    writer.int(opcode).bool(false).int(-1).text(path).bool(false);
  }
  return writer.int(-1).bool(true).int(-1).frame();
}

/** The body of a getData reply. */
export function decodeData(reader: JuteReader): Buffer | null {
  const data = reader.buffer();
  reader.skip(statBytes);
  return data;
}

function decodeStat(reader: JuteReader): NodeStat {
  reader.skip(changesAt);
  const changes = reader.int();
  reader.skip(childrenAt - changesAt - 4);
  const children = reader.int();
  return { children, changes, changedAt: reader.long() };
}

/** The body of a getChildren or getChildren2 reply (which adds a stat that nobody reads). */
export function decodeChildren(reader: JuteReader): string[] {
  return reader.texts();
}

/** The body of a multiRead reply: exactly one result for each operation, in their order. */
export function decodeMultiRead(reader: JuteReader, count: number): ReadResult[] {
  const results: ReadResult[] = [];
  for (;;) {
    const type = reader.int();
    const isLast = reader.bool();
    const headerError = reader.int();
    if (isLast) break;
    results.push(decodeReadResult(reader, type, headerError));
  }
  if (results.length !== count) {
    throw new ProtocolError(`zookeeper: multiRead of ${count} answered with ${results.length}`);
  }
  return results;
}

function decodeReadResult(reader: JuteReader, type: number, headerError: number): ReadResult {
  switch (type) {
    case opcodes.getChildren:
      return { error: 0, children: decodeChildren(reader), data: null };
    case opcodes.getData:
      return { error: 0, children: [], data: reader.buffer(), stat: decodeStat(reader) };
    case -1: {
      const error = reader.int();
      return { error: error === 0 ? headerError : error, children: [], data: null };
    }
    default:
      throw new ProtocolError(`zookeeper: multiRead result of unknown type ${type}`);
  }
}
