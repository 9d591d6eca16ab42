import type { Instance } from '../../common/instance.ts';
import { ConfigurationError } from '../../common/errors.ts';
import type { DubboInstanceRecord } from './dubbo/applications/record.ts';
import type { DubboRule, RuleKind } from './dubbo/rules/rule.ts';
import type { DubboTraits } from './dubbo/traits.ts';
import { isWithin } from './client/paths.ts';
import type { TreeInterest, Want } from './client/tree.ts';

/**
 * A reading understands one way of registering in ZooKeeper: which nodes matter, and what one node
 * says. It is a pure function of path and data; what becomes of several nodes that describe the same
 * endpoint, of changes and of removals is the same for all readings and stands in endpoints.ts.
 */
export interface Reading {
  /** Absolute paths without a slash at the end (but `/` itself). */
  readonly roots: readonly string[];
  /** As in TreeInterest, for a path at or below one of the roots. Called for every event. */
  want(path: string): Want;
  /** What a wanted node says. Never throws, whatever the data. */
  read(path: string, data: Buffer | null): NodeReading;
}

/** What one node says. */
export type NodeReading =
  | {
      /** It vouches for an endpoint; `instance.id` is equal for all nodes of the same endpoint. */
      readonly kind: 'endpoint';
      readonly instance: Instance;
      /** Of Dubbo providers: what rules may change. */
      readonly traits?: DubboTraits;
      /** Of several nodes of one endpoint the one with the largest order describes it. */
      readonly order: number;
    }
  | {
      /** It says something of endpoints that other nodes vouch for, or that are found out with its help. */
      readonly kind: 'fact';
      readonly fact: Fact;
    }
  | {
      /** It is something else, by design. */
      readonly kind: 'ignored';
      readonly what: IgnoredKind;
    }
  | {
      /** It should be an endpoint and cannot be understood. */
      readonly kind: 'dropped';
      readonly reason: DropReason;
      /** Where it is, free of secrets. */
      readonly record: string;
    };

/** What a node says beside being an endpoint. */
export type Fact =
  /** Dubbo's rules for providers. */
  | { readonly kind: 'rules'; readonly rules: readonly DubboRule[] }
  /** An application-level registration of Dubbo 3. */
  | { readonly kind: 'application'; readonly record: DubboInstanceRecord };

/** Nodes that are left alone on purpose. */
export type IgnoredKind =
  /** A directory among the instance nodes. */
  | 'directory'
  /** A leaf below `providers` that is no provider (consumer, override, empty, ...). */
  | 'not-a-provider'
  /** A rule of Dubbo's that concerns its consumers. */
  | RuleKind;

/** Why a record was left out; a metric label. */
export type DropReason =
  'address' | 'json' | 'name' | 'port' | 'rule' | 'secret' | 'service' | 'too-long' | 'url';

/** Wants nothing: neither the node nor what is below. */
export const wantNothing: Want = { node: false, data: false, children: false };

/** Whether the path lies below the root; the root itself does not. */
export function isBelow(root: string, path: string): boolean {
  return path !== root && isWithin(root, path);
}

/** Where the names below a root begin in a path. */
export function offsetBelow(root: string): number {
  return root === '/' ? 1 : root.length + 1;
}

/** The reading that answers for a path, if any. */
export function readingOf(readings: readonly Reading[], path: string): Reading | undefined {
  return readings.find((reading) => reading.roots.some((root) => isWithin(root, path)));
}

/**
 * All readings as one interest. Throws ConfigurationError when a root is malformed, or is another
 * one or lies below it: then it could not be said whose node is whose.
 */
export function combineInterest(readings: readonly Reading[]): TreeInterest {
  const roots = readings.flatMap((reading) => reading.roots);
  const problems = roots.flatMap((root, index) => problemsOf(root, roots.slice(0, index)));
  if (roots.length === 0) problems.push('roots: at least one root is needed');
  if (problems.length > 0) throw new ConfigurationError(problems);
  return {
    roots,
    want: (path) => readingOf(readings, path)?.want(path) ?? wantNothing,
  };
}

function problemsOf(root: string, others: readonly string[]): string[] {
  if (!/^\/(?:[^/\0]+(?:\/[^/\0]+)*)?$/.test(root)) {
    return [`root ${root}: expected an absolute path without a slash at its end`];
  }
  return others
    .filter((other) => isWithin(other, root) || isWithin(root, other))
    .map((other) => `root ${root}: must not be the root ${other}, nor above or below it`);
}
