import type { Instance } from '../../common/instance.ts';
import type { DubboTraits } from './dubbo/traits.ts';

/** What a node vouches for. */
export interface Claim {
  readonly instance: Instance;
  readonly traits: DubboTraits | undefined;
}

/** A node among those that vouch for one endpoint. */
export interface Voucher {
  readonly key: string;
  /** When it was registered, as far as the node says that: 0 if it does not. */
  readonly order: number;
  /** Those that came one after the other have a growing number, those of one reading the same. */
  readonly arrival: number;
  readonly instance: Instance | undefined;
  readonly traits: DubboTraits | undefined;
}

/** The order of what is known of a node by other means than its own words: it stands behind all that speak. */
export const claimedOrder = -1;

/**
 * How the nodes that vouch for an endpoint describe it: as the newest of them does. Newest is what registered last, then
 * what arrived last, then what has the larger key. Undefined when there is none. Pure.
 *
 * A provider that registers in both models of Dubbo has a leaf and a registration. The leaf speaks, but it lacks what
 * only the registration knows: the locality; and if it is a simplified one (which has no time), the tag, the labels and
 * the parameters as well.
 */
export function describe(vouchers: readonly Voucher[]): Claim | undefined {
  const newest = newestOf(vouchers);
  if (!hasInstance(newest)) return undefined;
  if (vouchers.length === 1 || newest.order === claimedOrder) return newest;
  const other = newestOf(vouchers.filter(({ order }) => order === claimedOrder));
  return hasInstance(other) ? complement(newest, other) : newest;
}

function complement(leaf: Claim & Voucher, other: Claim): Claim {
  const { instance, traits } = leaf;
  const locality = instance.locality === '' ? other.instance.locality : instance.locality;
  if (leaf.order > 0 || isInferred(other)) {
    return locality === instance.locality ? leaf : { instance: { ...instance, locality }, traits };
  }
  const isOut = other.instance.status === 'OUT_OF_SERVICE';
  return {
    instance: {
      ...instance,
      locality,
      labels: withMissing(instance.labels, other.instance.labels),
      status: isOut && instance.status === 'UP' ? 'OUT_OF_SERVICE' : instance.status,
    },
    traits: traits && {
      ...traits,
      isDisabled: traits.isDisabled || (other.traits?.isDisabled ?? false),
      parameters: traits.parameters ?? other.traits?.parameters,
    },
  };
}

function isInferred({ instance }: Claim): boolean {
  return instance.labels['inferred'] === 'true';
}

function withMissing(own: Instance['labels'], other: Instance['labels']): Instance['labels'] {
  if (Object.keys(other).every((key) => Object.hasOwn(own, key))) return own;
  const entries = Object.entries({ ...other, ...own });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What a single node vouches for. */
export function claimOf<T extends Voucher>(voucher: T): (T & Claim) | undefined {
  return hasInstance(voucher) ? voucher : undefined;
}

function hasInstance<T extends Voucher>(voucher: T | undefined): voucher is T & Claim {
  return voucher?.instance !== undefined;
}

/** The one that describes the endpoint, see `describe`. */
export function newestOf<T extends Voucher>(vouchers: readonly T[]): T | undefined {
  let newest: T | undefined;
  for (const voucher of vouchers) {
    if (newest === undefined || isNewer(voucher, newest)) newest = voucher;
  }
  return newest;
}

function isNewer(a: Voucher, b: Voucher): boolean {
  if (a.order !== b.order) return a.order > b.order;
  return a.arrival === b.arrival ? a.key > b.key : a.arrival > b.arrival;
}
