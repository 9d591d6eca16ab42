import type { Logger } from 'pino';
import { ProtocolError } from '../common/errors.ts';
import type { GuardPolicy } from '../common/guard.ts';
import type { RegistryId, RegistryKind } from '../common/registry.ts';
import type { AgentIdentity, Contribution, ContributionSink } from './contribution.ts';
import { RegistryCatalog } from './registry-catalog.ts';
import type { RegistryListener, SavedRegistry } from './registry-types.ts';

/** Registries that are not expected are shown, up to so many in all. */
const registriesMax = 1000;

/** What the catalog must know beforehand. */
export interface CatalogOptions {
  /** The registries that are served; all others are only shown. */
  readonly expected: ReadonlySet<RegistryId>;
  /** By registry or else by kind. */
  guardPolicy(registry: RegistryId, kind: RegistryKind): GuardPolicy;
}

/** All instances, by registry. See registry-catalog.ts for what holds within one. */
export class Catalog implements ContributionSink {
  readonly registries = new Map<RegistryId, RegistryCatalog>();
  private readonly options: CatalogOptions;
  private readonly listener: RegistryListener;
  private readonly log: Logger;
  /** Expected ones that an operator has retired: nobody waits for them. */
  readonly retired = new Set<RegistryId>();

  constructor(options: CatalogOptions, listener: RegistryListener, log: Logger) {
    this.options = options;
    this.listener = listener;
    this.log = log;
  }

  isServed(registry: RegistryId): boolean {
    return this.options.expected.has(registry);
  }

  open(agent: AgentIdentity): Contribution {
    const isNew =
      !this.registries.has(agent.registry) && !this.options.expected.has(agent.registry);
    if (isNew && this.registries.size >= registriesMax) {
      throw new ProtocolError(
        `${agent.registry}: ${registriesMax} registries are known already; forget some, or expect this one`,
      );
    }
    const registry = this.registry(agent.registry, agent.kind);
    this.retired.delete(agent.registry);
    return registry.open(agent);
  }

  /** Puts a saved registry in force. */
  async load(saved: SavedRegistry, now: number): Promise<void> {
    await this.registry(saved.id, saved.kind).load(saved, now);
  }

  /** Nobody waits for this registry until an agent feeds it: an operator retired it before. */
  retire(id: RegistryId): void {
    if (!this.registries.has(id)) this.retired.add(id);
  }

  /** Whether every expected registry that was not retired has been heard, and there is at least one. */
  get isComplete(): boolean {
    const awaited = [...this.options.expected].filter((id) => !this.retired.has(id));
    return awaited.length > 0 && awaited.every((id) => this.registries.get(id)?.isHeard === true);
  }

  /** Whether an agent has said all of each expected registry since the start: none goes by saved state alone. */
  get isHeardByAgents(): boolean {
    const served = [...this.registries.values()].filter(({ isServed }) => isServed);
    return served.every(({ voices }) =>
      voices.values().some(({ identity, hasSnapshot }) => identity.agentId !== '' && hasSnapshot),
    );
  }

  /**
   * Retires a registry: everything it said is withdrawn and nobody waits for it until an agent feeds it again.
   * `fed`: refused, an agent is connected. `unknown`: neither heard of nor expected.
   */
  async forget(id: RegistryId): Promise<'forgotten' | 'fed' | 'unknown'> {
    const registry = this.registries.get(id);
    if (registry?.isConnected === true) return 'fed';
    if (registry === undefined && !this.isServed(id)) return 'unknown';
    this.retired.add(id);
    if (registry !== undefined) {
      this.log.warn({ registry: id }, 'registry forgotten by an operator');
      await registry.forget();
      if (registry.voices.size === 0) this.registries.delete(id);
    }
    return 'forgotten';
  }

  /** Lets held removals of a registry pass: how many, or undefined if there is no such one. */
  release(id: RegistryId): number | undefined {
    return this.registries.get(id)?.release();
  }

  /** To be called about every second. */
  tick(now: number): void {
    for (const registry of this.registries.values()) registry.tick(now);
  }

  private registry(id: RegistryId, kind: RegistryKind): RegistryCatalog {
    let registry = this.registries.get(id);
    if (registry === undefined) {
      registry = new RegistryCatalog(
        { id, kind, isServed: this.isServed(id) },
        this.options.guardPolicy(id, kind),
        this.listener,
        this.log,
      );
      this.registries.set(id, registry);
    }
    return registry;
  }
}
