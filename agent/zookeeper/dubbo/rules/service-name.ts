/** The services that a rule names; `*` is any. */
export interface ServicePattern {
  readonly interfaceName: string;
  /** Blank is the service without a group, not any. */
  readonly group: string;
  /** Blank is the service without a version, not any. */
  readonly version: string;
}

export const anything = '*';
export const anyService: ServicePattern = {
  interfaceName: anything,
  group: anything,
  version: anything,
};

/** A service key, `{group}/{interface}:{version}`, of which group and version may be missing. */
export function parseServiceKey(key: string): ServicePattern {
  if (key === anything) return anyService;
  const slash = key.indexOf('/');
  const group = slash > 0 ? key.slice(0, slash) : '';
  const rest = slash > 0 ? key.slice(slash + 1) : key;
  const colon = rest.indexOf(':');
  if (colon <= 0) return { interfaceName: rest, group, version: '' };
  return { interfaceName: rest.slice(0, colon), group, version: rest.slice(colon + 1) };
}

/**
 * The service that a document says it is for: a service key; or, as Dubbo's own console writes it, the name of the
 * node, `{interface}:{version}:{group}`. Dubbo up to 3.0 looks at neither and applies such a document.
 */
export function parseNamedService(key: string): ServicePattern {
  const owner = key.split(':').length === 3 ? parseOwner(key) : undefined;
  return owner?.kind === 'service' ? owner.service : parseServiceKey(key);
}

/** Whose rule a node is, by its name. */
export type RuleOwner =
  | { readonly kind: 'service'; readonly service: ServicePattern }
  /** An application; or a service without group and version, as the first 2.7 releases named it. */
  | { readonly kind: 'plain'; readonly name: string };

/**
 * The owner in a node's name: `{interface}:{version}:{group}`, both of which may be blank; in the
 * first 2.7 releases `{group}*{interface}:{version}`; or an application. Undefined when it is none.
 */
export function parseOwner(base: string): RuleOwner | undefined {
  const star = base.indexOf('*');
  if (star > 0) {
    const service = parseServiceKey(`${base.slice(0, star)}/${base.slice(star + 1)}`);
    return isUsable(service) ? { kind: 'service', service } : undefined;
  }
  if (!base.includes(':')) return { kind: 'plain', name: base };
  const [interfaceName = '', version = '', group = '', ...more] = base.split(':');
  const service = { interfaceName, group, version };
  return more.length === 0 && isUsable(service) ? { kind: 'service', service } : undefined;
}

/** Whether the pattern stands for the service among others. */
export function includesService(pattern: ServicePattern, service: ServicePattern): boolean {
  return (
    isAnyOr(pattern.interfaceName, service.interfaceName) &&
    isAnyOr(pattern.group, service.group) &&
    isAnyOr(pattern.version, service.version)
  );
}

/** The text is the wanted one, or any is wanted. */
function isAnyOr(wanted: string, text: string): boolean {
  return wanted === anything || wanted === text;
}

function isUsable(service: ServicePattern): boolean {
  return /^[^*:]+$/.test(service.interfaceName);
}
