import { isSecretKey, isSecretValue } from '../../secrets.ts';

/** Tells which keys are meant. */
export interface KeySet {
  has(key: string): boolean;
}

/**
 * Which parameters of a provider's URL, or of its metadata, are looked at: those that say what it is, those that become
 * labels, and those that Dubbo does not know itself. The latter are what an application was given for rules to match on
 * (`env`, `region`, ...); of Dubbo's own a large registry has millions that no rule asks for.
 */
export class ParameterKeys implements KeySet {
  private readonly given: ReadonlySet<string>;
  private readonly judged: Map<string, boolean>;

  /** @param given keys that are looked at in any case */
  constructor(given: Iterable<string>) {
    this.given = new Set(given);
    this.judged = new Map([...dubboKeys].map((key) => [key, false]));
    for (const key of this.given) this.judged.set(key, true);
  }

  /** Whether the parameter is looked at. */
  has(key: string): boolean {
    const known = this.judged.get(key);
    if (known !== undefined) return known;
    const isWanted = isUnknownToDubbo(key);
    // A copy: keys are pieces of long texts.
    if (this.judged.size < judgedMax) this.judged.set(Buffer.from(key).toString(), isWanted);
    return isWanted;
  }

  /** Whether it is looked at although it is not among the given ones. */
  isCustom(key: string): boolean {
    return !this.given.has(key) && this.has(key);
  }

  /** Of the parameters that were kept, those that are not among the given ones; undefined when there are none. */
  customOf(
    parameters: ReadonlyMap<string, string>,
  ): readonly (readonly [string, string])[] | undefined {
    let custom: (readonly [string, string])[] | undefined;
    for (const entry of parameters) {
      const [key, value] = entry;
      if (this.given.has(key) || value === '' || value.length > valueLengthMax) continue;
      if (isSecretValue(value)) continue;
      custom ??= [];
      if (custom.length < customMax) custom.push(entry);
    }
    return custom?.sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

/** Keys whose kind is remembered. */
const judgedMax = 20_000;
const keyLengthMax = 64;
/** Longer values are not looked at. Characters. */
const valueLengthMax = 256;
/** Parameters of one provider that are not Dubbo's. */
const customMax = 32;

/** What can stand behind the name of a method and a dot. */
const methodKeys: ReadonlySet<string> = new Set(
  (
    'actives async cache callback callbacks deprecated executes loadbalance merger mock oninvoke onreturn onthrow ' +
    'retries return sent sticky stub timeout validation'
  ).split(' '),
);

/** What Dubbo and its kin write themselves. */
const dubboKeys: ReadonlySet<string> = new Set(
  (
    'REGISTRY_CLUSTER accepts accesslog actives alive anyhost application async background bean.name bind.ip ' +
    'bind.port buffer cache callbacks category charset check client cluster codec connections corethreads ' +
    'default default.version delay deprecated dispatcher document dubbo dubbo.tag dynamic enabled exchanger executes ' +
    'executor-management-mode export ext.protocol file-cache generic group heartbeat interface iothreads ipv6 isExtra ispuserver ' +
    'keepalive loadbalance local logger merger metadata-service-port metadata-service-protocol metadata-type methods mock ' +
    'monitor oninvoke onreturn onthrow params path payload pid prefer.serialization protocol providerAddresses proxy qos.accept.foreign.ip ' +
    'qos.enable qos.host qos.port queue queues reference.filter register register-mode register.ip registry ' +
    'release-date remote.application remote.timestamp retries return revision router scope security sent serialization ' +
    'server service-name-mapping service.filter service.name shutwait side simplified sticky stub subscribe telnet threadname ' +
    'threadpool threads timeout timestamp token transporter unloadClusterRelated unregister validation version warmup weight'
  ).split(' '),
);

/** A parameter that Dubbo does not know, and that is no secret. */
function isUnknownToDubbo(key: string): boolean {
  if (key.length > keyLengthMax || !/^(?!default\.)[A-Za-z][\w.-]*$/.test(key)) return false;
  const dot = key.lastIndexOf('.');
  return !(dot > 0 && methodKeys.has(key.slice(dot + 1))) && !isSecretKey(key);
}
