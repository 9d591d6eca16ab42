import type { Instance } from '../../../../common/instance.ts';
import type { DubboTraits } from '../traits.ts';
import type { AddressSet } from './address-set.ts';
import type { ServicePattern } from './service-name.ts';
import { anyService, includesService } from './service-name.ts';
import type { TextTest } from './text-match.ts';
import { isGlobMatch, passes } from './text-match.ts';

/** Whom a rule concerns: all that is given must hold. */
export interface Target {
  readonly service: ServicePattern;
  /** Undefined: any. */
  readonly applications: readonly string[] | undefined;
  /** Each of them must have the provider's address. */
  readonly addresses: readonly AddressSet[];
  readonly conditions: readonly Condition[];
  /** Providers registered below another root are not concerned; undefined: it is not asked. */
  readonly root: string | undefined;
}

/** A further condition on a provider. */
export type Condition =
  /** The address, alone or with its port, is so. */
  | { readonly kind: 'subnet'; readonly addresses: AddressSet }
  | { readonly kind: 'address'; readonly pattern: string; readonly isGlob: boolean }
  /** The service key, or the application, passes one of the tests. */
  | { readonly kind: 'service' | 'application'; readonly tests: readonly TextTest[] }
  /** There is such a parameter, and it passes. */
  | { readonly kind: 'parameter'; readonly key: string; readonly test: TextTest };

/** A target without conditions. */
export const everybody: Target = {
  service: anyService,
  applications: undefined,
  addresses: [],
  conditions: [],
  root: undefined,
};

/** Whether the target includes the provider, as it registered. */
export function includes(target: Target, instance: Instance, traits: DubboTraits): boolean {
  const { applications, addresses, conditions, root } = target;
  return (
    isServiceIncluded(target.service, instance) &&
    (applications === undefined || applications.includes(traits.application)) &&
    addresses.every((set) => hasAddress(set, instance)) &&
    conditions.every((condition) => holds(condition, instance, traits)) &&
    (root === undefined || traits.root === '' || traits.root === root)
  );
}

/** The host of an application is concerned by what concerns every service of the application. */
function isServiceIncluded(pattern: ServicePattern, { service }: Instance): boolean {
  if (service.kind !== 'dubbo') return pattern.interfaceName === '*';
  const { name: interfaceName, group, version } = service;
  return includesService(pattern, { interfaceName, group, version });
}

function hasAddress(set: AddressSet, { address, ports }: Instance): boolean {
  return ports.length === 0
    ? set.has(address, 0)
    : ports.some(({ number }) => set.has(address, number));
}

function holds(condition: Condition, instance: Instance, traits: DubboTraits): boolean {
  switch (condition.kind) {
    case 'subnet':
      return hasAddress(condition.addresses, instance);
    case 'address':
      return addressTexts(instance).some((text) =>
        condition.isGlob ? isGlobMatch(condition.pattern, text) : condition.pattern === text,
      );
    case 'service':
      return condition.tests.some((test) => passes(test, serviceKeyOf(instance)));
    case 'application':
      return condition.tests.some((test) => passes(test, traits.application));
    case 'parameter': {
      const value = parameterOf(condition.key, instance, traits);
      return value !== undefined && passes(condition.test, value);
    }
  }
}

function addressTexts({ address, ports }: Instance): readonly string[] {
  return [address, ...ports.map(({ number }) => `${address}:${number}`)];
}

/** `{group}/{interface}:{version}`, without what is blank. */
function serviceKeyOf({ service }: Instance): string {
  const group = service.group === '' ? '' : `${service.group}/`;
  return `${group}${service.name}${service.version === '' ? '' : `:${service.version}`}`;
}

/** What is known of every provider, beside its labels and what Dubbo does not know (see ParameterKeys). */
const identityKeys: ReadonlySet<string> = new Set([
  'application',
  'group',
  'interface',
  'side',
  'version',
  'weight',
]);

/**
 * Whether the target can be told from others: no condition is about a parameter that nobody looks at.
 * @param isSeen whether a parameter is looked at that is not part of the identity
 */
export function isVisible({ conditions }: Target, isSeen: (key: string) => boolean): boolean {
  return conditions.every(
    (condition) =>
      condition.kind !== 'parameter' || identityKeys.has(condition.key) || isSeen(condition.key),
  );
}

/** A parameter as registered, of those that are looked at. */
function parameterOf(key: string, instance: Instance, traits: DubboTraits): string | undefined {
  const { service, labels } = instance;
  switch (key) {
    case 'application':
      return traits.application === '' ? undefined : traits.application;
    case 'interface':
      return service.name;
    case 'group':
    case 'version':
      return service[key] === '' ? undefined : service[key];
    case 'side':
      return 'provider';
    case 'weight':
      return traits.weight?.toString();
    default:
      return Object.hasOwn(labels, key) ? labels[key] : traits.parameters?.get(key);
  }
}
