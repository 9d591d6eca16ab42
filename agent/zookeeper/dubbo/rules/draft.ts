import type { DubboRule, RuleKind, RuleReading } from './rule.ts';

/** A node with more rules is not taken. */
const rulesMax = 1000;

/** Of several reasons for an empty reading the first of these is told. */
const kindsByWeight: readonly RuleKind[] = [
  'unsupported-condition',
  'consumer-configurator',
  'unknown-parameters',
];

/** What is found out about one node while it is read. */
export class RuleDraft {
  private readonly rules: DubboRule[] = [];
  private readonly kinds = new Set<RuleKind>();
  private isUnusable = false;

  /** Whether it has too many rules to be taken: then nothing more needs to be read. */
  get isOverfull(): boolean {
    return this.rules.length > rulesMax;
  }

  add(rule: DubboRule): void {
    this.rules.push(rule);
  }

  /** A part of it is left alone on purpose. */
  leave(kind: RuleKind): void {
    this.kinds.add(kind);
  }

  /** A part of it makes no sense. */
  refuse(): void {
    this.isUnusable = true;
  }

  /** The rules; where there are none, why. */
  reading(): RuleReading {
    if (this.isOverfull) return { kind: 'dropped', reason: 'too-long' };
    if (this.rules.length > 0) return { kind: 'rules', rules: this.rules };
    if (this.isUnusable) return { kind: 'dropped', reason: 'rule' };
    const what = kindsByWeight.find((kind) => this.kinds.has(kind));
    return what === undefined ? noRules : { kind: 'ignored', what };
  }
}

/** A node that rules nothing, for now. */
export const noRules: RuleReading = { kind: 'rules', rules: [] };
export const notUnderstood: RuleReading = { kind: 'dropped', reason: 'rule' };
