import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { decodeAgentMessage, encodeAggregatorMessage, feedStream } from '../../proto/feed.ts';
import type { AgentMessage } from '../../proto/feed.ts';

type Stream = ServerDuplexStream<Buffer, Buffer>;

/** What the feed's other end has just taken. `at` is `performance.now()`. */
export interface Taken {
  readonly kind: 'snapshot' | 'delta';
  /** Instances or changes. */
  readonly count: number;
  readonly at: number;
}

/** The other end of an agent's feed that accepts everything and keeps nothing: what an agent costs and does by itself. */
export class FeedEnd {
  private readonly server = new Server({
    'grpc.max_receive_message_length': -1,
    'grpc-node.flow_control_window': 1 << 20,
  });
  private readonly waiting = new Set<(taken: Taken) => void>();
  private instances = 0;

  /** Returns its address. */
  async listen(): Promise<string> {
    const stream = (call: Stream): void => {
      call.on('error', () => undefined);
      call.on('end', () => call.end());
      call.on('data', (bytes: Buffer) => {
        const at = performance.now();
        this.take(call, decodeAgentMessage(bytes), at);
      });
    };
    this.server.addService({ stream: { ...feedStream, originalName: 'Stream' } }, { stream });
    return new Promise((resolve, reject) => {
      const credentials = ServerCredentials.createInsecure();
      this.server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
        if (error === null) resolve(`127.0.0.1:${port}`);
        else reject(error);
      });
    });
  }

  /** The next thing of a kind that is taken from now on. */
  next(kind: Taken['kind']): Promise<Taken> {
    const { promise, resolve } = Promise.withResolvers<Taken>();
    const look = (taken: Taken): void => {
      if (taken.kind !== kind) return;
      this.waiting.delete(look);
      resolve(taken);
    };
    this.waiting.add(look);
    return promise;
  }

  close(): void {
    this.server.forceShutdown();
  }

  private take(call: Stream, message: AgentMessage, at: number): void {
    switch (message.kind) {
      case 'hello': {
        const welcome = { protocolVersion: 1, sequence: 0, served: true, aggregator: 'bench' };
        call.write(
          encodeAggregatorMessage({ kind: 'welcome', welcome: { ...welcome, resume: false } }),
        );
        return;
      }
      case 'heartbeat':
        call.write(
          encodeAggregatorMessage({ kind: 'echo', heartbeat: message.heartbeat.heartbeat }),
        );
        return;
      case 'chunk': {
        const { index, instances, last, sequence } = message.chunk;
        if (index === 0) this.instances = 0;
        this.instances += instances.length;
        if (!last) return;
        call.write(encodeAggregatorMessage({ kind: 'accepted', sequence }));
        this.tell({ kind: 'snapshot', count: this.instances, at });
        return;
      }
      case 'delta': {
        const { sequence, changes } = message.delta;
        call.write(encodeAggregatorMessage({ kind: 'accepted', sequence }));
        this.tell({ kind: 'delta', count: changes.length, at });
        return;
      }
      default:
    }
  }

  private tell(taken: Taken): void {
    for (const look of [...this.waiting]) look(taken);
  }
}
