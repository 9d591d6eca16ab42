import assert from 'node:assert/strict';
import {
  readConfiguratorLeaf,
  readRuleNode,
} from '../../../../../../agent/zookeeper/dubbo/rules/rule.ts';
import type { DubboRule, RuleReading } from '../../../../../../agent/zookeeper/dubbo/rules/rule.ts';
import { RuleBook } from '../../../../../../agent/zookeeper/dubbo/rules/rule-book.ts';
import type { DubboTraits } from '../../../../../../agent/zookeeper/dubbo/traits.ts';
import type { Instance } from '../../../../../../common/instance.ts';

/** A provider as it registered. */
export interface Provider {
  readonly instance: Instance;
  readonly traits: DubboTraits;
}

export interface ProviderWords {
  readonly root?: string;
  readonly interfaceName?: string;
  readonly group?: string;
  readonly version?: string;
  readonly address?: string;
  readonly port?: number;
  readonly application?: string;
  readonly weight?: number;
  readonly isDisabled?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  /** Parameters that Dubbo does not know. */
  readonly parameters?: ReadonlyMap<string, string>;
}

/** A provider of `com.example.A` in the application `orders` at 192.0.2.11:20880, but for these words. */
export function provider(words: ProviderWords = {}): Provider {
  const { interfaceName = 'com.example.A', group = '', version = '', isDisabled = false } = words;
  const { address = '192.0.2.11', port = 20_880, application = 'orders', weight } = words;
  const { root = '/dubbo' } = words;
  const isOut = isDisabled || (weight ?? 1) <= 0;
  const host = address.includes(':') ? `[${address}]` : address;
  const service = `${interfaceName}:${group}:${version}`;
  return {
    instance: {
      id: `dubbo:${service}:dubbo://${host}:${port}`,
      service: { kind: 'dubbo', name: interfaceName, group, version },
      address,
      ports: [{ protocol: 'dubbo', number: port }],
      labels: words.labels ?? {},
      locality: '',
      weight: Math.max(weight ?? 0, 0),
      status: isOut ? 'OUT_OF_SERVICE' : 'UP',
    },
    traits: { root, application, weight, isDisabled, parameters: words.parameters },
  };
}

/** The rules of a reading that has some. */
export function rulesOf(reading: RuleReading): readonly DubboRule[] {
  assert.ok(reading.kind === 'rules', JSON.stringify(reading));
  return reading.rules;
}

/** A leaf below the configurators of an interface. */
export function leaf(url: string, interfaceName = 'com.example.A'): RuleReading {
  return readConfiguratorLeaf(interfaceName, encodeURIComponent(url));
}

/** A node below `config/dubbo`. */
export function node(name: string, data: string): RuleReading {
  return readRuleNode('dubbo', name, Buffer.from(data));
}

/** A book of these readings. */
export function bookOf(...readings: readonly RuleReading[]): RuleBook {
  const book = new RuleBook();
  for (const [index, reading] of readings.entries()) book.set(`/rule-${index}`, rulesOf(reading));
  return book;
}

/** What the readings make of the provider: weight and status, and its tag where it has one. */
export function outcome(one: Provider, ...readings: readonly RuleReading[]): string {
  const { weight, status, labels } = bookOf(...readings).project(one.instance, one.traits);
  const tag = labels['dubbo.tag'];
  return `${weight} ${status}${tag === undefined ? '' : ` ${tag}`}`;
}
