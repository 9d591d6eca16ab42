import { z } from 'zod';

/** `<datacenter>/<name>`, unique over the whole system. */
export type RegistryId = string & { readonly __brand: 'RegistryId' };

export type RegistryKind = 'eureka' | 'zookeeper';

const pattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Two DNS labels with a slash between them, each of 1..63 lower-case letters, digits and dashes. */
export const registryIdSchema = z
  .string()
  .regex(pattern, 'expected <datacenter>/<name>, each of lower-case letters, digits and dashes')
  .transform((text) => text as RegistryId);

/** Whether the text is a registry id. */
export function isRegistryId(text: string): text is RegistryId {
  return pattern.test(text);
}

/** The datacenter part of a registry id. */
export function datacenterOf(registry: RegistryId): string {
  return registry.slice(0, registry.indexOf('/'));
}
