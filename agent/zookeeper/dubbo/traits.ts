import type { Sharing } from '../sharing.ts';
import type { ParameterKeys } from './parameters.ts';

/**
 * What Dubbo's rules look at in a provider, beside what its instance says. Equal traits are one
 * object (see Sharing): there are few of them for many providers.
 */
export interface DubboTraits {
  /** Below which root of Dubbo's it is registered; empty where that is not known. */
  readonly root: string;
  /** The provider's application; empty when its registration does not say. */
  readonly application: string;
  /** As registered; undefined where it says nothing (Dubbo's default is 100). */
  readonly weight: number | undefined;
  /** By `disabled`, or where that is absent by `enabled`. */
  readonly isDisabled: boolean;
  /** Its parameters that Dubbo does not know (see ParameterKeys), by key; undefined when there are none. */
  readonly parameters: ReadonlyMap<string, string> | undefined;
}

const traitsMax = 50_000;

/** One object for equal traits, of which neighbours mostly have the same. Bounded: what was not seen for long is shared anew. */
export class TraitsPool {
  private readonly sharing: Sharing;
  private readonly keys: ParameterKeys;
  private last: DubboTraits | undefined;
  private readonly known = new Map<string, DubboTraits>();

  constructor(sharing: Sharing, keys: ParameterKeys) {
    this.sharing = sharing;
    this.keys = keys;
  }

  /** Those of a provider with these parameters below this root. */
  of(root: string, parameters: ReadonlyMap<string, string>): DubboTraits {
    const application = parameters.get('application') ?? '';
    const weight = registeredWeight(parameters.get('weight'));
    const isDisabled = isProviderDisabled(parameters);
    const custom = this.keys.customOf(parameters);
    const { last } = this;
    const isSame =
      last?.root === root &&
      last.application === application &&
      last.weight === weight &&
      last.isDisabled === isDisabled &&
      last.parameters === undefined &&
      custom === undefined;
    if (isSame) return last;
    const key = this.sharing.text(
      `${weight ?? ''}:${isDisabled ? 'd' : ''}:${JSON.stringify(custom ?? [])}:${root}:${application}`,
    );
    let traits = this.known.get(key);
    if (traits === undefined) {
      if (this.known.size >= traitsMax) this.known.clear();
      const shared = this.sharing.text(application);
      traits = { root, application: shared, weight, isDisabled, parameters: this.mapOf(custom) };
      this.known.set(key, traits);
    }
    this.last = traits;
    return traits;
  }

  private mapOf(
    entries: readonly (readonly [string, string])[] | undefined,
  ): ReadonlyMap<string, string> | undefined {
    if (entries === undefined) return undefined;
    const { sharing } = this;
    return new Map(entries.map(([key, value]) => [sharing.text(key), sharing.text(value)]));
  }
}

/**
 * The weight as registered, at most 2^31 - 1; zero and below take no traffic. Undefined when the text is
 * none: Dubbo then takes its default, or fails on what is no integer.
 */
function registeredWeight(text: string | undefined): number | undefined {
  if (text === undefined || !/^-?\d{1,15}$/.test(text)) return undefined;
  return Math.max(Math.min(Number(text), 0x7fff_ffff), -0x8000_0000);
}

/** A consumer's rule: `disabled`, where present, decides alone, else `enabled`. */
function isProviderDisabled(parameters: ReadonlyMap<string, string>): boolean {
  const disabled = parameters.get('disabled') ?? '';
  if (disabled !== '') return isTrue(disabled);
  const enabled = parameters.get('enabled') ?? '';
  return enabled !== '' && !isTrue(enabled);
}

function isTrue(text: string): boolean {
  return text.toLowerCase() === 'true';
}
