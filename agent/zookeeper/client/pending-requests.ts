import type { JuteReader } from './jute.ts';

/** A request that waits for its reply. */
export interface PendingRequest {
  readonly xid: number;
  readonly onReply: (error: number, body: JuteReader) => void;
  readonly onEnd: ((error: Error) => void) | undefined;
}

const taken = 1_024;

/** The requests of one connection that wait, first in, first out, without moving the rest each time. */
export class PendingRequests {
  private readonly requests: PendingRequest[] = [];
  private head = 0;

  get isEmpty(): boolean {
    return this.head === this.requests.length;
  }

  add(request: PendingRequest): void {
    this.requests.push(request);
  }

  /** The one whose reply is next. It waits on. */
  get first(): PendingRequest | undefined {
    return this.requests[this.head];
  }

  /** The same, and it waits no more. */
  take(): PendingRequest | undefined {
    const { first } = this;
    if (first === undefined) return undefined;
    this.head += 1;
    if (this.head === this.requests.length || this.head > taken) {
      this.requests.splice(0, this.head);
      this.head = 0;
    }
    return first;
  }

  /** All of them, in their order; none is left. */
  drain(): readonly PendingRequest[] {
    const rest = this.requests.splice(0).slice(this.head);
    this.head = 0;
    return rest;
  }
}
