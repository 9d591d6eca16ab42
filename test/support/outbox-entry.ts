import type { Entry } from '../../agent/outbox.ts';
import { hashInstance } from '../../common/digest.ts';
import { serviceKeyText } from '../../common/instance.ts';
import type { Instance } from '../../common/instance.ts';
import { encodeInstance } from '../../proto/instance-codec.ts';

/** The entry of an instance. */
export function entryOf(instance: Instance): Entry {
  const service = serviceKeyText(instance.service);
  return { ...hashInstance(encodeInstance(instance)), instance, service };
}

/** An instance told apart by a text, which is its label `text`. */
export function instanceWith(id: string, text: string): Instance {
  const service = { kind: 'application', name: 's', group: '', version: '' } as const;
  const base = { id, service, address: '10.0.0.1', ports: [], locality: '', weight: 0 };
  return { ...base, labels: { text }, status: 'UP' };
}
