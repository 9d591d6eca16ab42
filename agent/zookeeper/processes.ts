import type { Instance } from '../../common/instance.ts';

/** How much vanished within a window, and of how much. */
export interface Vanished {
  readonly addresses: number;
  readonly processes: number;
  /** All processes that were there before these vanished. */
  readonly of: number;
}

interface Process {
  readonly address: string;
  /** Endpoints that have been said and not taken back. */
  said: number;
  /** Those of them that have no node at the moment. */
  leaving: number;
}

/**
 * The processes behind the endpoints of a registry, as far as endpoints tell: those of one address and port belong
 * to one process, and so to one session. One has vanished when none of its endpoints is left; a service that is
 * retired from many processes makes none of them vanish.
 *
 * Pure but for its state: the time is an argument, milliseconds of any monotonic origin, never going back.
 */
export class Processes {
  private readonly windowMs: number;
  private readonly byKey = new Map<string, Process>();
  /** Vanished ones by key, in the order in which they vanished. */
  private readonly vanishing = new Map<string, { readonly address: string; readonly at: number }>();
  /** How many of them there are at an address. */
  private readonly addresses = new Map<string, number>();
  /** Those of which nothing is said any more. */
  private forgotten = 0;

  /** @param windowMs how long a process counts as vanished */
  constructor(windowMs: number) {
    this.windowMs = windowMs;
  }

  /** An endpoint is said, newly or in place of what was said of it. */
  said(before: Instance | undefined, instance: Instance): void {
    const key = keyOf(instance);
    if (before !== undefined) {
      const keyBefore = keyOf(before);
      if (keyBefore === key) return;
      this.take(keyBefore);
    }
    const process = this.byKey.get(key);
    if (process === undefined) {
      this.byKey.set(key, { address: instance.address, said: 1, leaving: 0 });
    } else process.said += 1;
    this.reappear(key, process === undefined);
  }

  /** An endpoint that has been said has no node any more. */
  leaving(instance: Instance, now: number): void {
    const key = keyOf(instance);
    const process = this.byKey.get(key);
    if (process === undefined) return;
    process.leaving += 1;
    if (process.leaving < process.said || this.vanishing.has(key)) return;
    const { address } = process;
    this.vanishing.set(key, { address, at: now });
    this.addresses.set(address, (this.addresses.get(address) ?? 0) + 1);
  }

  /** An endpoint that was leaving has a node again. */
  staying(instance: Instance): void {
    const key = keyOf(instance);
    const process = this.byKey.get(key);
    if (process === undefined) return;
    process.leaving -= 1;
    this.reappear(key, false);
  }

  /** An endpoint that was leaving is said no more. */
  gone(instance: Instance): void {
    const key = keyOf(instance);
    const process = this.byKey.get(key);
    if (process === undefined) return;
    process.leaving -= 1;
    this.take(key);
  }

  /** What vanished within the window and has not come back. */
  vanished(now: number): Vanished {
    for (const [key, { at }] of this.vanishing) {
      if (at > now - this.windowMs) break;
      this.reappear(key, !this.byKey.has(key));
    }
    return {
      addresses: this.addresses.size,
      processes: this.vanishing.size,
      of: this.byKey.size + this.forgotten,
    };
  }

  private take(key: string): void {
    const process = this.byKey.get(key);
    if (process === undefined) return;
    process.said -= 1;
    if (process.said > 0) return;
    this.byKey.delete(key);
    if (this.vanishing.has(key)) this.forgotten += 1;
  }

  private reappear(key: string, wasForgotten: boolean): void {
    const entry = this.vanishing.get(key);
    if (entry === undefined) return;
    this.vanishing.delete(key);
    if (wasForgotten) this.forgotten -= 1;
    const others = (this.addresses.get(entry.address) ?? 0) - 1;
    if (others > 0) this.addresses.set(entry.address, others);
    else this.addresses.delete(entry.address);
  }
}

function keyOf({ address, ports }: Instance): string {
  return `${address} ${ports[0]?.number ?? ''}`;
}
