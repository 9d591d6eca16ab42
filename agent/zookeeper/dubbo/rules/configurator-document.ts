import { AddressSet, isAnyHost } from './address-set.ts';
import { readMatch } from './match.ts';
import type { UrlPlace } from './configurator-url.ts';
import { narrow, readConfiguratorUrl } from './configurator-url.ts';
import type { DocumentMap } from './document.ts';
import { flagOf, isMap, textOf, textsOf } from './document.ts';
import { noRules, notUnderstood, RuleDraft } from './draft.ts';
import type { ConfiguratorLevel, RuleReading } from './rule.ts';
import type { RuleOwner, ServicePattern } from './service-name.ts';
import { anyService, anything, parseNamedService, parseServiceKey } from './service-name.ts';
import { readPriority, readSettings } from './settings.ts';
import type { Condition } from './target.ts';

/**
 * Configurators as documents (Dubbo 2.7 and later): the node `<owner>.configurators`, whose owner is a
 * service or an application. A provider follows the node of its application and then the one of its
 * service, and of what stands there applies what names it: the document's key and scope, each of its
 * configs' addresses, services, applications and match. So both the name and the key must fit; each
 * stands in for the other where it is missing. A document of which one config makes no sense is void.
 */
export function readConfiguratorDocument(
  owner: RuleOwner,
  document: unknown,
  root: string | undefined,
): RuleReading {
  const draft = new RuleDraft();
  if (Array.isArray(document)) return readUrls(document, placeOf(owner, root), draft);
  if (!isMap(document)) return notUnderstood;
  const configs: unknown = document.get('configs');
  if (!Array.isArray(configs)) return notUnderstood;
  const scope = scopeOf(owner, document, root);
  if (scope === undefined) return { kind: 'dropped', reason: 'name' };
  for (const config of configs as unknown[]) {
    if (draft.isOverfull) break;
    if (!isMap(config) || !readConfig(config, scope, draft)) return notUnderstood;
  }
  return draft.reading();
}

/** Whom a document concerns, whatever its configs say. */
interface Scope {
  readonly level: ConfiguratorLevel;
  /** Of an application's document the configs name services. */
  readonly isApplications: boolean;
  readonly service: ServicePattern;
  /** Undefined: any. */
  readonly application: string | undefined;
  readonly isEnabled: boolean;
  readonly root: string | undefined;
}

function scopeOf(
  owner: RuleOwner,
  document: DocumentMap,
  root: string | undefined,
): Scope | undefined {
  const key = textOf(document.get('key')) ?? '';
  const isEnabled = flagOf(document.get('enabled')) ?? true;
  const isApplications = document.get('scope') === 'application';
  const who = isApplications ? applicationScope(owner, key) : serviceScope(owner, key);
  return who === undefined ? undefined : { ...who, isApplications, isEnabled, root };
}

type Who = Pick<Scope, 'level' | 'service' | 'application'>;

function applicationScope(owner: RuleOwner, key: string): Who | undefined {
  if (owner.kind === 'service') {
    if (key === '') return undefined;
    const application = key === anything ? undefined : key;
    return { level: 'service', service: owner.service, application };
  }
  const application = owner.name === '' ? key : owner.name;
  if (application === '' || (key !== '' && key !== anything && key !== application)) {
    return undefined;
  }
  return {
    level: 'application',
    service: anyService,
    application: application === anything ? undefined : application,
  };
}

function serviceScope(owner: RuleOwner, key: string): Who | undefined {
  if (owner.kind === 'service') {
    const service = key === '' ? owner.service : narrow(parseNamedService(key), owner.service);
    return service === undefined
      ? undefined
      : { level: 'service', service, application: undefined };
  }
  const name = key === '' ? owner.name : key;
  const service = parseNamedService(name);
  if (service.interfaceName === '') return undefined;
  const isApplication = owner.name !== '' && owner.name !== service.interfaceName;
  return isApplication
    ? { level: 'application', service, application: owner.name }
    : { level: 'service', service, application: undefined };
}

/** Reads one config; false when it makes no sense. */
function readConfig(config: DocumentMap, scope: Scope, draft: RuleDraft): boolean {
  const parameters = parametersOf(config.get('parameters'));
  const [addresses, providers, services, applications] = (
    ['addresses', 'providerAddresses', 'services', 'applications'] as const
  ).map((name) => textsOf(config.get(name)));
  if (parameters === undefined || addresses === undefined || providers === undefined) return false;
  if (services === undefined || applications === undefined) return false;
  if (!isInForce(config, scope)) return true;
  const side = config.get('side') ?? 'provider';
  if (side !== 'provider') {
    draft.leave(side === 'consumer' ? 'consumer-configurator' : 'unsupported-condition');
    return true;
  }
  const match = readMatch(config.get('match'));
  if (match === undefined) {
    draft.leave('unsupported-condition');
    return true;
  }
  const settings = readSettings(parameters, draft);
  if (settings === undefined) return true;
  const named = scope.isApplications ? servicesOf(services, scope.service) : [scope.service];
  for (const part of addressParts(addresses, providers)) {
    for (const service of named) {
      if (draft.isOverfull) return true;
      draft.add({
        kind: 'configurator',
        level: scope.level,
        scheme: 'override',
        isForAll: part.isForAll,
        priority: readPriority(parameters.get('priority')),
        settings,
        target: {
          service,
          applications: applicationsOf(scope, applications),
          addresses: part.addresses,
          conditions: [...match, ...conditionsOf(parameters)],
          root: scope.root,
        },
      });
    }
  }
  return true;
}

/** A config with a type of its own is in force by itself, others when their document is. */
function isInForce(config: DocumentMap, scope: Scope): boolean {
  const type = textOf(config.get('type')) ?? 'general';
  return type === 'general' ? scope.isEnabled : (flagOf(config.get('enabled')) ?? false);
}

/** Undefined unless there is at least one, as Dubbo demands. */
function parametersOf(value: unknown): ReadonlyMap<string, string> | undefined {
  if (!isMap(value) || value.size === 0) return undefined;
  const parameters = new Map<string, string>();
  for (const [key, parameter] of value) {
    const text = textOf(parameter);
    if (typeof key === 'string' && text !== undefined) parameters.set(key, text);
  }
  return parameters;
}

/** `~key: value`: the provider's own parameter must be that. */
function conditionsOf(parameters: ReadonlyMap<string, string>): Condition[] {
  return [...parameters]
    .filter(([key, value]) => key.startsWith('~') && value !== anything)
    .map(([key, text]) => ({
      kind: 'parameter',
      key: key.slice(1),
      test: { kind: 'exact', text },
    }));
}

interface AddressPart {
  readonly isForAll: boolean;
  readonly addresses: readonly AddressSet[];
}

/** Those for all addresses, then those for single ones: that decides who comes first. */
function addressParts(addresses: readonly string[], providers: readonly string[]): AddressPart[] {
  const all = addresses.length === 0 ? ['0.0.0.0'] : addresses.filter(isAnyHost);
  const single = addresses.filter((address) => !isAnyHost(address));
  const further = providers.length === 0 ? [] : [new AddressSet(providers, 'plain')];
  return [all, single]
    .map((texts, index) => ({ texts, isForAll: index === 0 }))
    .filter(({ texts }) => texts.length > 0)
    .map(({ texts, isForAll }) => ({
      isForAll,
      addresses: [new AddressSet(texts, 'plain'), ...further],
    }));
}

function servicesOf(keys: readonly string[], service: ServicePattern): ServicePattern[] {
  if (keys.length === 0) return [service];
  const patterns = keys.map(parseServiceKey);
  if (service === anyService) return patterns;
  return patterns.some((pattern) => narrow(pattern, service) !== undefined) ? [service] : [];
}

function applicationsOf(scope: Scope, named: readonly string[]): readonly string[] | undefined {
  const isAny = scope.isApplications || named.length === 0 || named.includes(anything);
  if (scope.application === undefined) return isAny ? undefined : named;
  return isAny || named.includes(scope.application) ? [scope.application] : [];
}

function placeOf(owner: RuleOwner, root: string | undefined): UrlPlace {
  const isService = owner.kind === 'service';
  return {
    level: isService ? 'service' : 'application',
    interfaceName: undefined,
    service: isService ? owner.service : undefined,
    application: isService ? undefined : owner.name,
    root,
  };
}

function readUrls(urls: readonly unknown[], place: UrlPlace, draft: RuleDraft): RuleReading {
  if (urls.length === 0) return noRules;
  for (const url of urls) {
    const isUrl =
      typeof url === 'string' &&
      readConfiguratorUrl(encodeURIComponent(url.toWellFormed()), place, draft);
    if (!isUrl) draft.refuse();
  }
  return draft.reading();
}
