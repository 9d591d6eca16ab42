import type { SourceEvent } from './source.ts';

/** Whether the registry can be read and believed. `waiting`: it has not been read yet. */
export type HealthState = 'waiting' | 'live' | 'lost' | 'suspect';

/** What the agent knows of its registry's health; times are `performance.now()`. */
export class RegistryHealth {
  private current: { readonly state: HealthState; readonly reason: string } = {
    state: 'waiting',
    reason: 'not read yet',
  };
  private confirmedAt: number | undefined;
  private isPartlySuspect = false;

  get state(): HealthState {
    return this.current.state;
  }

  /** Whether what is known is being followed: all of it, or all but parts that are suspect. */
  get isFollowed(): boolean {
    return this.state === 'live' || this.isPartlySuspect;
  }

  /** Why the state is not live, or empty. */
  get reason(): string {
    return this.current.reason;
  }

  /** Since the registry last confirmed what is known, milliseconds; undefined before the first time. */
  ageMs(now: number): number | undefined {
    return this.confirmedAt === undefined ? undefined : Math.max(0, now - this.confirmedAt);
  }

  /** Takes in an event of the source. Returns whether the state, not only the reason, has changed. */
  note(event: SourceEvent): boolean {
    const before = this.current.state;
    if (event.kind === 'changes' && event.isPartial === true) return false;
    this.isPartlySuspect = event.kind === 'suspect' && event.isPartial === true;
    if (event.kind === 'snapshot' && event.unread !== undefined) {
      this.isPartlySuspect = true;
      this.confirmedAt = Math.max(this.confirmedAt ?? -Infinity, event.observedAt);
      this.current = { state: 'suspect', reason: event.unread };
    } else if (event.kind === 'lost' || event.kind === 'suspect') {
      this.current = { state: event.kind, reason: event.reason };
    } else if (event.kind === 'snapshot' || before !== 'waiting') {
      this.confirmedAt = Math.max(this.confirmedAt ?? -Infinity, event.observedAt);
      this.current = { state: 'live', reason: '' };
    }
    return this.current.state !== before;
  }
}
