import { isTrue } from './document.ts';
import type { RuleDraft } from './draft.ts';

/** What a configurator sets of what takes part in a provider's traffic. */
export interface Settings {
  /** 0 or more; what is written with a minus is 0. */
  readonly weight: number | undefined;
  readonly disabled: boolean | undefined;
  readonly enabled: boolean | undefined;
}

const weightMax = 0x7fff_ffff;

/**
 * The settings among the parameters of a configurator; undefined when there are none. Everything else
 * that it sets (timeouts, retries, ...) is the consumers' affair and only noted in the draft.
 */
export function readSettings(
  parameters: ReadonlyMap<string, string>,
  draft: RuleDraft,
): Settings | undefined {
  const settings = {
    weight: readWeight(parameters.get('weight'), draft),
    disabled: readFlag(parameters.get('disabled')),
    enabled: readFlag(parameters.get('enabled')),
  };
  const isEmpty = Object.values(settings).every((value) => value === undefined);
  if (isEmpty) draft.leave('unknown-parameters');
  return isEmpty ? undefined : settings;
}

function readWeight(text: string | undefined, draft: RuleDraft): number | undefined {
  if (text === undefined) return undefined;
  if (/^-?\d{1,15}$/.test(text)) return Math.min(Math.max(Number(text), 0), weightMax);
  draft.refuse();
  return undefined;
}

function readFlag(text: string | undefined): boolean | undefined {
  return text === undefined || text === '' ? undefined : isTrue(text);
}

/** An integer, 0 where there is none. */
export function readPriority(text: string | undefined): number {
  return text !== undefined && /^[+-]?\d{1,10}$/.test(text) ? Number(text) : 0;
}
