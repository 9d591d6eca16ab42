import { isJsonObject } from '../../common/json-object.ts';
import type { JsonObject } from '../../common/json-object.ts';
import type { DropReason } from './reading.ts';

/**
 * What Curator's service discovery writes into a node: the JSON in which Spring Cloud, Dubbo 3 and others
 * register. The payload is the application's own: an object with its class in `@class`, a list of class and object
 * (other settings of the same serializer), or nothing. Pure.
 */
export interface CuratorRecord {
  readonly record: JsonObject;
  /** Of the payload; empty when none is said. */
  readonly className: string;
  /** The payload; empty when it is no object. */
  readonly payload: JsonObject;
  /** `payload.metadata`; values that are no text are written as one. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Larger data is not parsed. Bytes. */
const dataBytesMax = 262_144;
const dubboClass = /^(?:org\.apache|com\.alibaba)\.dubbo\./;
const dubboMetadata = /^dubbo\.(?:endpoints$|metadata|exported-services)/;
const springClass = /^org\.springframework\./;
const noPayload: JsonObject = {};

/** The record in a node's data; `directory` when a node has none, or why it cannot be understood. */
export function readCurator(
  data: Buffer | null,
): CuratorRecord | 'directory' | (DropReason & ('json' | 'too-long')) {
  if (data === null || isDirectoryData(data)) return 'directory';
  if (data.length > dataBytesMax) return 'too-long';
  const record = parseObject(data);
  if (record === undefined) return 'json';
  const { className, value } = typed(record['payload']);
  const payload = isJsonObject(value) ? value : noPayload;
  return { record, className, payload, metadata: textsOf(typed(payload['metadata']).value) };
}

/** Whether Dubbo has written it: by the payload's class, or where that says nothing by the metadata. */
export function isDubboRecord({ className, metadata }: CuratorRecord): boolean {
  if (springClass.test(className)) return false;
  if (dubboClass.test(className)) return true;
  for (const key of metadata.keys()) {
    if (dubboMetadata.test(key)) return true;
  }
  return false;
}

/** A value in either of the forms in which its class can stand beside it. */
function typed(value: unknown): { readonly className: string; readonly value: unknown } {
  if (Array.isArray(value) && value.length === 2) {
    const [className, inner] = value as readonly unknown[];
    if (typeof className === 'string') return { className, value: inner };
  }
  const className = isJsonObject(value) ? value['@class'] : undefined;
  return { className: typeof className === 'string' ? className : '', value };
}

/** The members of an object that can be written as text. */
export function textsOf(value: unknown): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  if (!isJsonObject(value)) return texts;
  for (const [key, member] of Object.entries(value)) {
    if (typeof member === 'string') texts.set(key, member);
    else if (typeof member === 'number' || typeof member === 'boolean') {
      texts.set(key, String(member));
    }
  }
  return texts;
}

/** Nothing, or the writer's own address, which Curator puts into nodes that it makes on the way. */
function isDirectoryData(data: Buffer): boolean {
  return data.length <= 45 && /^[0-9a-fA-F.:]*$/.test(data.toString('latin1'));
}

function parseObject(data: Buffer): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(data.toString('utf8'));
    return isJsonObject(value) ? value : undefined;
  } catch {
    // Not JSON: the caller drops and counts the record.
    return undefined;
  }
}
