import type { Port, ServiceKey } from '../../common/instance.ts';

/** Entries of one kind after which sharing starts anew: churn must not grow it for ever. */
const entriesMax = 50_000;

/**
 * Instances repeat each other: a hundred interfaces of one application differ in little but their
 * name. Equal parts are kept once, which more than halves the memory of a large registry. The
 * shared objects are never changed. Texts are copied when first seen: a piece of a decoded leaf
 * name would otherwise keep the whole name alive.
 */
export class Sharing {
  private readonly texts = new Map<string, string>();
  private readonly services = new Map<string, ServiceKey>();
  private readonly portLists = new Map<string, readonly Port[]>();
  private readonly labelSets = new Map<string, Readonly<Record<string, string>>>();

  text(value: string): string {
    const found = this.texts.get(value);
    if (found !== undefined) return found;
    if (this.texts.size >= entriesMax) this.texts.clear();
    const own = copy(value);
    this.texts.set(own, own);
    return own;
  }

  /** A Dubbo service. */
  dubbo(name: string, group: string, version: string): ServiceKey {
    const text = `d${name.length}:${group.length}:${name}${group}${version}`;
    return share(this.services, text, () => ({
      kind: 'dubbo',
      name: this.text(name),
      group: this.text(group),
      version: this.text(version),
    }));
  }

  /** An application, by the name as it is to stand in the key. */
  application(kind: 'application' | 'dubbo-application', name: string): ServiceKey {
    return share(this.services, `${kind}:${name}`, () => ({
      kind,
      name: this.text(name),
      group: '',
      version: '',
    }));
  }

  /** Several protocols on one port; sorted here. */
  ports(protocols: readonly string[], number: number): readonly Port[] {
    return share(this.portLists, `${protocols.join()}:${number}`, () =>
      [...protocols].sort().map((protocol) => ({ protocol: this.text(protocol), number })),
    );
  }

  /** The labels, which must come sorted by key. */
  labels(sorted: readonly (readonly [string, string])[]): Readonly<Record<string, string>> {
    let text = '';
    for (const [key, value] of sorted) text += `${key.length}:${value.length}:${key}${value}`;
    return share(this.labelSets, text, () =>
      Object.fromEntries(sorted.map(([key, value]) => [key, this.text(value)])),
    );
  }
}

function share<T>(known: Map<string, T>, text: string, make: () => T): T {
  const found = known.get(text);
  if (found !== undefined) return found;
  if (known.size >= entriesMax) known.clear();
  const made = make();
  known.set(copy(text), made);
  return made;
}

/** Shorter pieces of a text are texts of their own in V8. Characters. */
const pieceLengthMin = 13;

/** A text of its own, sharing no memory with the one it was cut from. */
function copy(text: string): string {
  if (text.length < pieceLengthMin) return text;
  return Buffer.from(text, 'utf8').toString('utf8');
}
