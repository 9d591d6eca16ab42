import type { GuardLimits, GuardPolicy, ServiceLimits } from './guard.ts';

/** The limits of so many services are remembered, not looked up anew. */
const rememberedMax = 10_000;

/** The limits of each scope by a policy. */
export class LimitsBook {
  private readonly policy: GuardPolicy;
  private readonly known = new Map<string, GuardLimits>();

  constructor(policy: GuardPolicy) {
    this.policy = policy;
  }

  /** Of a service (see `Loss.service`), or of the registry (empty). */
  of(service: string): GuardLimits {
    const { policy, known } = this;
    if (service === '' || policy.services === undefined) return policy;
    let limits = known.get(service);
    if (limits === undefined) {
      limits = { ...policy, ...policy.services(service) };
      if (known.size >= rememberedMax) known.clear();
      known.set(service, limits);
    }
    return limits;
  }
}

/** Guard limits as an operator writes them; what is missing is as it would be without. */
export interface GuardRow {
  readonly fraction?: number | undefined;
  readonly minimum?: number | undefined;
  /** Milliseconds. */
  readonly hold?: number | undefined;
}

/** The configuration of guards, whichever process has them. */
export interface GuardValues {
  readonly guardFraction: number | undefined;
  readonly guardMinimum: number | undefined;
  readonly guardHold: number | undefined;
  /** By service name. */
  readonly guardServices: Readonly<Record<string, GuardRow>>;
  /** By registry id. */
  readonly guard?: Readonly<Record<string, GuardRow>>;
}

/** What the configuration says for every registry. */
export function guardOfAll(values: GuardValues): Partial<GuardPolicy> {
  const { guardFraction: fraction, guardMinimum: minimum, guardHold: hold } = values;
  const services = serviceLimits(values.guardServices);
  return {
    ...limitsOf({ fraction, minimum, hold }),
    ...(services === undefined ? {} : { services }),
  };
}

/** What it says for one registry: its own row, else what holds for all. */
export function guardOfRegistry(values: GuardValues, registry: string): Partial<GuardPolicy> {
  return { ...guardOfAll(values), ...limitsOf(values.guard?.[registry] ?? {}) };
}

/** The limits of a row, without those that it does not give. */
export function limitsOf({ fraction, minimum, hold }: GuardRow): Partial<GuardLimits> {
  return {
    ...(fraction === undefined ? {} : { fraction }),
    ...(minimum === undefined ? {} : { minimum }),
    ...(hold === undefined ? {} : { holdMs: hold }),
  };
}

const keyParts =
  /^(?<kind>application|dubbo-application|dubbo):(?<group>[^/]*)\/(?<name>.*):[^:]*$/s;

/**
 * The limits of single services by the names that registries give them: those of applications in any case, those of
 * Dubbo interfaces exactly, whatever their group and version. Services are asked for by `serviceKeyText`.
 * Undefined when no service has limits of its own.
 */
export function serviceLimits(rows: Readonly<Record<string, GuardRow>>): ServiceLimits | undefined {
  const given = Object.entries(rows).map(([name, row]) => [name, limitsOf(row)] as const);
  if (given.length === 0) return undefined;
  const exact = new Map(given);
  const lower = new Map(given.map(([name, limits]) => [name.toLowerCase(), limits]));
  return (service) => {
    const { kind, name } = keyParts.exec(service)?.groups ?? {};
    if (name === undefined) return undefined;
    return kind === 'dubbo' ? exact.get(name) : lower.get(name.toLowerCase());
  };
}
