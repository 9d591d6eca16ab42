import type { Activation } from '../common/guard-holds.ts';
import type { Census } from '../common/guard.ts';
import type { Instance } from '../common/instance.ts';
import type { RegistryId, RegistryKind } from '../common/registry.ts';
import type { Receipt } from './contribution.ts';
import type { InstanceSource } from './service-index.ts';

/** What the catalog tells of a registry, and what it asks. */
export interface RegistryListener {
  /** For these instances something else may hold now. Resolves when that is published. */
  changed(change: {
    readonly source: InstanceSource;
    readonly ids: readonly string[];
    readonly receipt: Receipt | undefined;
    readonly isForced: boolean;
  }): Promise<void> | undefined;
  /** How many instances are UP, as published. */
  census(registry: RegistryId): Census;
  /** The network or default locality of the registry is another one. */
  attributes(registry: RegistryId, network: string, defaultLocality: string): void;
  guardActivated(registry: RegistryId, activation: Activation): void;
  /** A transition in the background failed: a defect. */
  failed(error: unknown): void;
}

/** A registry as it was saved. */
export interface SavedRegistry {
  readonly id: RegistryId;
  readonly kind: RegistryKind;
  readonly network: string;
  readonly defaultLocality: string;
  /** Milliseconds since the registry last confirmed it, or undefined when that is not known. */
  readonly ageMs: number | undefined;
  /** Why what an agent does not say after this is doubted, if it is. */
  readonly doubt?: string | undefined;
  readonly instances: Map<string, Instance>;
}
