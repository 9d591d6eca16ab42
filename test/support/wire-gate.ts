import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { FrameReader } from '../../agent/zookeeper/client/framing.ts';

/**
 * A gate on the wire between ZooKeeper clients and a server. While it is held, what passes is said step by step:
 * so many requests reach the server, so many bytes of its replies and events reach the clients, in pieces of given
 * sizes. So a test decides before or after which change of the tree a request is served, and where a reply is cut.
 */
export class WireGate {
  /** Called for each connection that a client opens. */
  onLink: (() => void) | undefined;
  private readonly targetPort: number;
  private readonly pieces: readonly number[];
  private readonly links = new Set<GateLink>();
  private server: Server | undefined;
  /** Infinity while the gate is open. */
  private requestCredit = Infinity;
  private byteCredit = Infinity;
  private bytesUntilCut: number | undefined;
  private nextPiece = 0;

  /** @param pieces sizes of the pieces that replies are cut into, over and over; none: as they come */
  constructor(targetPort: number, pieces: readonly number[] = []) {
    this.targetPort = targetPort;
    this.pieces = pieces;
  }

  get port(): number {
    return (this.server?.address() as AddressInfo | undefined)?.port ?? 0;
  }

  async start(): Promise<void> {
    const server = createServer({ noDelay: true }, (client) => {
      this.onLink?.();
      this.join(client);
    });
    this.server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  }

  /** Nothing passes any more but what is let through. */
  hold(): void {
    this.requestCredit = 0;
    this.byteCredit = 0;
  }

  /** Lets everything through. */
  open(): void {
    this.requestCredit = Infinity;
    this.byteCredit = Infinity;
    this.pump();
  }

  letRequests(count: number): void {
    this.requestCredit += count;
    this.pump();
  }

  letBytes(count: number): void {
    this.byteCredit += count;
    this.pump();
  }

  /** Every connection breaks when so many more bytes have passed to clients. */
  cutAfter(bytes: number): void {
    this.bytesUntilCut = bytes;
    if (bytes === 0) this.cut();
  }

  async close(): Promise<void> {
    for (const link of this.links) destroy(link);
    await new Promise((resolve) => this.server?.close(resolve) ?? resolve(undefined));
  }

  private join(client: Socket): void {
    const upstream = connect({ host: '127.0.0.1', port: this.targetPort, noDelay: true });
    const link: GateLink = {
      client,
      upstream,
      requests: [],
      bytes: [],
      isOver: false,
      isWriting: false,
    };
    this.links.add(link);
    const frames = new FrameReader();
    client.on('data', (chunk: Buffer) => {
      frames.push(chunk, (content) => {
        const frame = Buffer.alloc(4 + content.length);
        frame.writeInt32BE(content.length, 0);
        frame.set(content, 4);
        link.requests.push(frame);
      });
      this.pump();
    });
    upstream.on('data', (chunk: Buffer) => {
      link.bytes.push(chunk);
      this.pump();
    });
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
    upstream.on('close', () => {
      link.isOver = true;
      this.pump();
    });
    client.on('close', () => {
      this.links.delete(link);
      destroy(link);
    });
  }

  private pump(): void {
    for (const link of this.links) {
      while (this.requestCredit > 0) {
        const frame = link.requests.shift();
        if (frame === undefined) break;
        this.requestCredit -= 1;
        if (!link.upstream.destroyed) link.upstream.write(frame);
      }
      if (!link.isWriting) this.write(link);
    }
  }

  private write(link: GateLink): void {
    link.isWriting = false;
    // What has waited together comes together, in one segment if pieces allow it.
    const chunk = Buffer.concat(link.bytes);
    if (chunk.length === 0) {
      if (link.isOver) link.client.end();
      return;
    }
    link.bytes = [chunk];
    const size = this.pieces[this.nextPiece % Math.max(1, this.pieces.length)] ?? chunk.length;
    const allowed = Math.min(chunk.length, size, this.byteCredit, this.bytesUntilCut ?? Infinity);
    if (allowed === 0 || link.client.destroyed) return;
    this.nextPiece += 1;
    this.byteCredit -= allowed;
    if (allowed === chunk.length) link.bytes.shift();
    else link.bytes[0] = chunk.subarray(allowed);
    link.isWriting = true;
    link.client.write(chunk.subarray(0, allowed), () => {
      if (this.pieces.length === 0) this.write(link);
      else setImmediate(() => this.write(link));
    });
    if (this.bytesUntilCut === undefined) return;
    this.bytesUntilCut -= allowed;
    if (this.bytesUntilCut === 0) link.client.write(Buffer.alloc(0), () => this.cut());
  }

  private cut(): void {
    this.bytesUntilCut = undefined;
    for (const link of this.links) destroy(link);
  }
}

interface GateLink {
  readonly client: Socket;
  readonly upstream: Socket;
  /** Frames that have not reached the server. */
  readonly requests: Buffer[];
  /** What has not reached the client. */
  bytes: Buffer[];
  /** Whether the server has closed. */
  isOver: boolean;
  isWriting: boolean;
}

function destroy({ client, upstream }: GateLink): void {
  client.destroy();
  upstream.destroy();
}
