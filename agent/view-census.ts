import type { Census } from '../common/guard.ts';
import { serviceKeyText } from '../common/instance.ts';
import type { InstanceStatus, ServiceKey } from '../common/instance.ts';
import type { Entry } from './outbox.ts';

interface ServiceCount {
  /** The text under which the service is counted: entries share it. */
  readonly text: string;
  /** Instances of any status but GONE. */
  live: number;
  up: number;
}

/** How many instances an agent tells of, by service and by status. */
export class ViewCensus {
  private readonly services = new Map<string, ServiceCount>();
  private readonly statuses = new Map<InstanceStatus, number>();

  /** Services, empty ones included. */
  get serviceCount(): number {
    return this.services.size;
  }

  statusCounts(): Readonly<Partial<Record<InstanceStatus, number>>> {
    return Object.fromEntries(this.statuses);
  }

  /** For the guard, as of now. */
  up(): Census {
    return {
      registry: this.statuses.get('UP') ?? 0,
      service: (service) => this.services.get(service)?.up ?? 0,
    };
  }

  /** The instances of a service that are not GONE; undefined when it is not known. */
  live(service: string): number | undefined {
    return this.services.get(service)?.live;
  }

  /** The text of a service, the same object for all entries of the service. */
  textOf(key: ServiceKey): string {
    const text = serviceKeyText(key);
    return this.services.get(text)?.text ?? text;
  }

  /** One more, or one less. A service stays known until it is forgotten. */
  count({ instance, service: text }: Entry, by: 1 | -1): void {
    const { status } = instance;
    const number = (this.statuses.get(status) ?? 0) + by;
    if (number === 0) this.statuses.delete(status);
    else this.statuses.set(status, number);
    let service = this.services.get(text);
    if (service === undefined) {
      service = { text, live: 0, up: 0 };
      this.services.set(text, service);
    }
    if (status !== 'GONE') service.live += by;
    if (status === 'UP') service.up += by;
  }

  forget(service: string): void {
    this.services.delete(service);
  }
}
