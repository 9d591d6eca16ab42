import { decodeNodeName, parseDubboUrl } from '../dubbo-url.ts';
import { AddressSet, isAnyHost, splitAddress } from './address-set.ts';
import { isTrue } from './document.ts';
import type { RuleDraft } from './draft.ts';
import type { ConfiguratorLevel, ConfiguratorScheme } from './rule.ts';
import type { ServicePattern } from './service-name.ts';
import { anything } from './service-name.ts';
import { readPriority, readSettings } from './settings.ts';
import type { Condition } from './target.ts';

/**
 * Configurators as URLs, the form of Dubbo 2.6 and before, still honoured by every later release:
 * `override://<host>[:<port>]/<interface>?<conditions>&<settings>`. A host without a port is a
 * consumer's, but for `0.0.0.0`, which is everybody. Conditions are `application`, `side`, `group`,
 * `version` and every key that begins with `~`; `enabled` is the rule's own.
 */
export interface UrlPlace {
  readonly level: ConfiguratorLevel;
  /** What its directory says; undefined: the URL's path says it. */
  readonly interfaceName: string | undefined;
  /** The application whose node it stands in, if it is an application's. */
  readonly application: string | undefined;
  /** The service whose node it stands in, if it is a service's. */
  readonly service: ServicePattern | undefined;
  readonly root: string | undefined;
}

const schemes: ReadonlyMap<string, ConfiguratorScheme> = new Map([
  ['override', 'override'],
  ['absent', 'absent'],
  ['empty', 'empty'],
]);
const conditionPrefix = '~';

/**
 * Reads one URL, encoded as it stands in a node's name, into the draft. Returns whether it is the URL
 * of a configurator at all. Never throws.
 */
export function readConfiguratorUrl(encoded: string, place: UrlPlace, draft: RuleDraft): boolean {
  const text = decodeNodeName(encoded);
  if (text === undefined) return false;
  const keys = new Set([...text.matchAll(/[?&;]([^=&;]*)/g)].map(([, key = '']) => key));
  const url = parseDubboUrl(
    encoded,
    new Set([...keys].map((key) => key.replace(/^default\./, ''))),
  );
  const scheme = url === undefined ? undefined : schemes.get(url.scheme);
  if (url === undefined || scheme === undefined) return false;
  const { parameters } = url;
  const category = parameters.get('category') ?? '';
  if (category !== '' && !category.includes('configurators')) return false;
  if (!isTrue(parameters.get('enabled') ?? 'true')) return true;

  const authority = url.port === 0 ? url.host : `${url.host}:${url.port}`;
  const isForAll = isAnyHost(authority);
  const isConsumers = !isForAll && splitAddress(authority).port === '';
  if (isConsumers || !isAnyOf(parameters.get('side'), 'provider')) {
    draft.leave('consumer-configurator');
    return true;
  }
  const service = serviceOf(text, parameters, place);
  if (service === undefined) {
    draft.refuse();
    return true;
  }
  const own = new Map(parameters);
  own.delete('enabled');
  const settings = scheme === 'empty' ? clearing : readSettings(own, draft);
  if (settings === undefined) return true;
  draft.add({
    kind: 'configurator',
    level: place.level,
    scheme,
    isForAll,
    priority: readPriority(parameters.get('priority')),
    settings,
    target: {
      service,
      applications: applicationsOf(parameters.get('application'), place.application),
      addresses: scheme === 'empty' ? [] : [new AddressSet([authority], 'plain')],
      conditions: scheme === 'empty' ? [] : conditionsOf(parameters),
      root: place.root,
    },
  });
  return true;
}

const clearing = { weight: undefined, disabled: undefined, enabled: undefined };

function isAnyOf(wanted: string | undefined, value: string): boolean {
  return wanted === undefined || wanted === '' || wanted === anything || wanted === value;
}

function serviceOf(
  text: string,
  parameters: ReadonlyMap<string, string>,
  place: UrlPlace,
): ServicePattern | undefined {
  const interfaceName = place.interfaceName ?? parameters.get('interface') ?? pathOf(text);
  if (interfaceName === '') return undefined;
  const group = parameters.get('group') ?? '';
  const version = parameters.get('version') ?? '';
  const service = { interfaceName, group, version };
  return place.service === undefined ? service : narrow(service, place.service);
}

/** The services of the pattern in the node of that one service; undefined when there are none. */
export function narrow(
  pattern: ServicePattern,
  service: ServicePattern,
): ServicePattern | undefined {
  const fits = (['interfaceName', 'group', 'version'] as const).every(
    (part) => pattern[part] === anything || pattern[part] === service[part],
  );
  return fits ? service : undefined;
}

function pathOf(text: string): string {
  const body = text.slice(text.indexOf('://') + 3).replace(/\?.*$/s, '');
  const slash = body.indexOf('/');
  return slash < 0 ? '' : body.slice(slash + 1);
}

function applicationsOf(
  wanted: string | undefined,
  owner: string | undefined,
): readonly string[] | undefined {
  const isAny = wanted === undefined || wanted === '' || wanted === anything;
  const names = [...(isAny ? [] : [wanted]), ...(owner === undefined ? [] : [owner])];
  if (names.length === 0) return undefined;
  return new Set(names).size > 1 ? [] : names.slice(0, 1);
}

/** `~key=value`: the provider's own parameter must be that. */
function conditionsOf(parameters: ReadonlyMap<string, string>): Condition[] {
  return [...parameters]
    .filter(([key, value]) => key.startsWith(conditionPrefix) && value !== anything)
    .map(([key, text]) => ({
      kind: 'parameter',
      key: key.slice(conditionPrefix.length),
      test: { kind: 'exact', text },
    }));
}
