import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createDubboReading } from '../../../../../../agent/zookeeper/dubbo/dubbo.ts';
import { dubboContext } from '../../../../../../agent/zookeeper/dubbo/dubbo-instance.ts';
import type { MetadataOrigin } from '../../../../../../agent/zookeeper/dubbo/applications/metadata.ts';
import { readDubboInstance } from '../../../../../../agent/zookeeper/dubbo/applications/record.ts';
import type { DubboInstanceRecord } from '../../../../../../agent/zookeeper/dubbo/applications/record.ts';
import { Sharing } from '../../../../../../agent/zookeeper/sharing.ts';
import type { ProcessLeaf } from '../../../../../../agent/zookeeper/dubbo/applications/process-leaves.ts';
import type { Instance } from '../../../../../../common/instance.ts';
import type { JsonObject } from '../../../../../../common/json-object.ts';

/** Real registrations, and made-up ones, for the tests in this folder. */

const labelKeys = ['application', 'dubbo.tag', 'release'];
export const sharing = new Sharing();
export const dubbo = dubboContext(labelKeys, sharing);

/** Where metadata come from. */
export function originOf(application: string): MetadataOrigin {
  return { application, root: '/dubbo', wanted: dubbo.parameterKeys };
}

export interface FixtureNode {
  readonly path: string;
  readonly data: string;
}

/** The nodes of a recorded tree. */
export function fixture(name: string): readonly FixtureNode[] {
  const url = new URL(`../../../../../fixtures/zookeeper/${name}.jsonl`, import.meta.url);
  const lines = readFileSync(url, 'utf8').trim().split('\n');
  return lines.map((line) => {
    const { path, data } = JSON.parse(line) as { path: string; data: string | null };
    return { path, data: data ?? '' };
  });
}

/** What the leaves of a recorded tree vouch for: ids, sorted. */
export function leafIds(nodes: readonly FixtureNode[], root = '/dubbo'): readonly string[] {
  const reading = createDubboReading(
    { roots: [root], hiddenInterfaces: [], labelKeys, metadataLabelKeys: [], zones: {} },
    sharing,
  );
  return nodes
    .filter(({ path }) => path.startsWith(root) && path.includes('/providers/'))
    .flatMap(({ path }) => {
      const said = reading.read(path, null);
      return said.kind === 'endpoint' ? [said.instance.id] : [];
    })
    .sort();
}

export function parse(text: string): JsonObject {
  return JSON.parse(text) as JsonObject;
}

/** The record of a node's text. */
export function recordOf(text: string): DubboInstanceRecord {
  const record = readDubboInstance(parse(text), { labelKeys: ['zone'], zones: {}, sharing });
  assert.ok(typeof record !== 'string', text);
  return record;
}

/** A leaf of a process. */
export function leafOf(
  words: {
    readonly application?: string;
    readonly address?: string;
    readonly port?: number;
    readonly tag?: string;
    readonly weight?: number;
    readonly isDisabled?: boolean;
    readonly parameters?: ReadonlyMap<string, string>;
  } = {},
): ProcessLeaf {
  const { application = 'orders', address = '192.0.2.1', port = 20_880, tag = '' } = words;
  const { weight, isDisabled = false, parameters } = words;
  const traits = { root: '/dubbo', application, weight, isDisabled, parameters };
  return { application, address, port, tag, traits };
}

/** What an endpoint is, as far as tests of applications ask: `*` behind the id of what is inferred, its tag, its status. */
export function shown({ id, labels, status }: Instance): string {
  const tag = labels['dubbo.tag'] ?? '';
  return [
    labels['inferred'] === 'true' ? `${id}*` : id,
    ...(tag === '' ? [] : [tag]),
    ...(status === 'UP' ? [] : [status]),
  ].join(' ');
}

/** A registration of an application as Dubbo writes it. */
export function registration(options: {
  readonly application?: string;
  readonly address?: string;
  readonly port?: number;
  readonly revision?: string | undefined;
  readonly storage?: 'local' | 'remote';
  readonly endpoints?: readonly { readonly port: number; readonly protocol: string }[];
  readonly metadata?: Readonly<Record<string, string>>;
}): string {
  const { application = 'orders', address = '192.0.2.1', port = 20880 } = options;
  const { storage = 'remote', endpoints = [{ port, protocol: 'dubbo' }] } = options;
  const metadata = {
    'dubbo.endpoints': JSON.stringify(endpoints),
    'dubbo.metadata.storage-type': storage,
    'dubbo.metadata.revision': 'revision' in options ? options.revision : 'r1',
    timestamp: '1795364618520',
    ...options.metadata,
  };
  const id = `${address}:${port}`;
  return JSON.stringify({
    name: application,
    id,
    address,
    port,
    payload: {
      '@class': 'org.apache.dubbo.registry.zookeeper.ZookeeperInstance',
      id,
      name: application,
      metadata,
    },
  });
}

/** Metadata of a revision that exports these interfaces. */
export function metadataInfo(
  application: string,
  revision: string,
  interfaces: readonly string[],
): string {
  const services = interfaces.map((name): [string, object] => [
    `${name}:dubbo`,
    { name, protocol: 'dubbo', port: 20880, path: name, params: { release: '3.3.6' } },
  ]);
  return JSON.stringify({ app: application, revision, services: Object.fromEntries(services) });
}

/** The definition of an interface of an application. */
export function definition(
  interfaceName: string,
  application: string,
  parameters: Readonly<Record<string, string>> = {},
): string {
  const all = { interface: interfaceName, application, side: 'provider', ...parameters };
  return JSON.stringify({ canonicalName: interfaceName, methods: [], types: [], parameters: all });
}
