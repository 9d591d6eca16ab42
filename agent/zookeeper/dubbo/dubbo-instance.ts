import type { Instance, ServiceKey } from '../../../common/instance.ts';
import { isSecretValue } from '../../secrets.ts';
import { escapeIdPart, isIdInBounds, isPort, pickLabels, usableLabelKeys } from '../convert.ts';
import type { DropReason } from '../reading.ts';
import type { Sharing } from '../sharing.ts';
import { ParameterKeys } from './parameters.ts';
import { TraitsPool } from './traits.ts';
import type { DubboTraits } from './traits.ts';

/**
 * A Dubbo provider as an instance, whichever way it registered: below its interface, or below its
 * application with metadata that tell its interfaces. Both ways give equal providers equal ids, so that
 * a provider that registers both ways, or below several roots, is one endpoint for which all its nodes vouch.
 */
export interface ProviderParts {
  /** See DubboTraits. */
  readonly root: string;
  readonly interfaceName: string;
  readonly group: string;
  readonly version: string;
  /** What the port speaks, lower case: its own protocol first, those of `ext.protocol` behind it. */
  readonly protocols: readonly string[];
  /** As `normalizeAddress` gives it. */
  readonly address: string;
  readonly port: number;
  /** Parameters of the provider: the keys of `DubboContext.parameterKeys`, as far as they occur. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** What is needed to make instances of providers, and what they share. One for a source. */
export interface DubboContext {
  readonly sharing: Sharing;
  /** Parameters that become labels, sorted. */
  readonly labelKeys: readonly string[];
  /** Every parameter that is looked at, here or where protocols and order are found out. */
  readonly parameterKeys: ParameterKeys;
  readonly services: DubboServices;
  readonly traits: TraitsPool;
}

/** Whoever does without it would send traffic to providers that are not meant for it: always a label. */
export const tagKey = 'dubbo.tag';
/** A longer tag could not be a label, nor could one that looks like a secret; without it the provider would pass for one without a tag. */
const tagLengthMax = 512;

const ownKeys = [
  'application',
  'category',
  'disabled',
  tagKey,
  'enabled',
  'ext.protocol',
  'group',
  'ipv6',
  'timestamp',
  'version',
  'weight',
];
/** Protocols beside its own that a port is believed to speak. */
const protocolsMax = 16;
const protocolPattern = /^[a-z][a-z0-9+.-]{0,31}$/;

/** @param labelKeys parameters that are to become labels; secrets among them do not */
export function dubboContext(labelKeys: readonly string[], sharing: Sharing): DubboContext {
  const usable = usableLabelKeys([...labelKeys, tagKey]);
  const parameterKeys = new ParameterKeys([...ownKeys, ...usable]);
  return {
    sharing,
    labelKeys: usable,
    parameterKeys,
    services: new DubboServices(sharing),
    traits: new TraitsPool(sharing, parameterKeys),
  };
}

/** The provider as an instance, and what rules look at in it; or why it is none. */
export function dubboInstance(
  parts: ProviderParts,
  context: DubboContext,
): { readonly instance: Instance; readonly traits: DubboTraits } | DropReason {
  const { address, port, parameters, protocols } = parts;
  const { labelKeys, sharing } = context;
  if (!isPort(port)) return 'port';
  const tag = (parameters.get(tagKey) ?? '').trim();
  if (tag.length > tagLengthMax) return 'too-long';
  if (tag !== '' && isSecretValue(tag)) return 'secret';
  const { service, idPrefix } = context.services.describe(parts);
  const host = address.includes(':') ? `[${address}]` : address;
  const id = `${idPrefix}${protocols[0] ?? ''}://${host}:${port}`;
  if (!isIdInBounds(id)) return 'too-long';
  const traits = context.traits.of(parts.root, parameters);
  const { weight } = traits;
  const takesTraffic = !traits.isDisabled && (weight === undefined || weight > 0);
  const instance: Instance = {
    id,
    service,
    address: sharing.text(address),
    ports: sharing.ports(protocols, port),
    labels: sharing.labels(
      pickLabels(labelKeys, (key) => (key === tagKey ? tag : parameters.get(key))),
    ),
    locality: '',
    weight: Math.max(weight ?? 0, 0),
    status: takesTraffic ? 'UP' : 'OUT_OF_SERVICE',
  };
  return { instance, traits };
}

/** A provider's own protocol, and those that the same port speaks besides (`ext.protocol`, Dubbo 3.2+). */
export function protocolsOf(
  own: string,
  parameters: ReadonlyMap<string, string>,
): readonly string[] {
  const others = parameters.get('ext.protocol') ?? '';
  if (others === '') return [own];
  const names = others
    .toLowerCase()
    .split(',', protocolsMax)
    .map((name) => name.trim());
  return [...new Set([own, ...names.filter((name) => protocolPattern.test(name))])];
}

/** A service, and how the ids of its endpoints begin. */
interface DescribedService {
  readonly service: ServiceKey;
  readonly idPrefix: string;
}

/** Services by their parts. The last one is remembered: a snapshot brings leaves directory by directory. */
class DubboServices {
  private readonly sharing: Sharing;
  private last: DescribedService | undefined;

  constructor(sharing: Sharing) {
    this.sharing = sharing;
  }

  describe({ interfaceName, group, version }: ProviderParts): DescribedService {
    const { last } = this;
    const isSame =
      last?.service.name === interfaceName &&
      last.service.group === group &&
      last.service.version === version;
    if (isSame) return last;
    const service = this.sharing.dubbo(interfaceName, group, version);
    const text = [service.name, service.group, service.version].map(escapeIdPart).join(':');
    const described = { service, idPrefix: `dubbo:${text}:` };
    this.last = described;
    return described;
  }
}
