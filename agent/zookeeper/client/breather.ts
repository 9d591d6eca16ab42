import type { Socket } from 'node:net';

/** Work on what has arrived may hold the event loop for so long. Milliseconds. */
const heldMsMax = 10;

/**
 * Lets the event loop breathe while a socket delivers faster than it is worked off: one turn of the loop
 * can bring megabytes. After some milliseconds of work the socket is paused until the next turn.
 */
export class Breather {
  private heldMs = 0;
  private isTurnAwaited = false;

  /** Work that began at this moment (`performance.now()`) is done. */
  worked(socket: Socket | undefined, since: number): void {
    this.heldMs += performance.now() - since;
    if (this.heldMs >= heldMsMax) socket?.pause();
    if (this.isTurnAwaited) return;
    this.isTurnAwaited = true;
    setImmediate(() => {
      this.isTurnAwaited = false;
      this.heldMs = 0;
      if (socket?.isPaused() === true) socket.resume();
    });
  }
}
