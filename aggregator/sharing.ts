import type { Alias, Instance, Port, ServiceKey } from '../common/instance.ts';
import { serviceKeyText } from '../common/instance.ts';

/**
 * Makes the equal parts of instances one object: of a hundred thousand instances most have the service
 * key, the ports and the labels of another. Bounded: what was not seen for long is shared anew.
 */
const partsMax = 50_000;

/** The same value for equal texts, as long as it is remembered. */
class Pool<T> {
  private readonly known = new Map<string, T>();

  get(text: string, value: T): T {
    const found = this.known.get(text);
    if (found !== undefined) return found;
    if (this.known.size >= partsMax) this.known.clear();
    this.known.set(text, value);
    return value;
  }
}

const services = new Pool<ServiceKey>();
const ports = new Pool<readonly Port[]>();
const labels = new Pool<Instance['labels']>();
const aliases = new Pool<readonly Alias[]>();
const textLengthMax = 512;

/** An equal instance that shares what it can with others. */
export function shareParts(instance: Instance): Instance {
  const parts: Instance = {
    id: instance.id,
    service: services.get(serviceKeyText(instance.service), instance.service),
    address: instance.address,
    ports: sharedPorts(instance.ports),
    labels: sharedLabels(instance.labels),
    locality: instance.locality,
    weight: instance.weight,
    status: instance.status,
  };
  return instance.aliases === undefined
    ? parts
    : { ...parts, aliases: sharedAliases(instance.aliases) };
}

function sharedPorts(list: readonly Port[]): readonly Port[] {
  let text = '';
  for (const { protocol, number } of list) text += `${protocol}\u0000${number}\u0000`;
  return text.length > textLengthMax ? list : ports.get(text, [...list]);
}

function sharedAliases(list: readonly Alias[]): readonly Alias[] {
  let text = '';
  for (const { name, ports: which } of list) text += `${name}\u0000${which}\u0000`;
  return text.length > textLengthMax ? list : aliases.get(text, list);
}

function sharedLabels(map: Instance['labels']): Instance['labels'] {
  let text = '';
  for (const key of Object.keys(map)) {
    text += `${key}\u0000${map[key] ?? ''}\u0000`;
    if (text.length > textLengthMax) return map;
  }
  return labels.get(text, map);
}
