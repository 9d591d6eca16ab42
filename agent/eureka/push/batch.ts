import { isJsonObject } from '../../../common/json-object.ts';
import { ProtocolError } from '../../../common/errors.ts';
import { Pause } from '../../../common/yielding.ts';
import { decodeRecord, toStatus } from '../decode.ts';
import { instanceKey } from '../record.ts';
import type { EurekaStatus } from '../record.ts';
import { entriesOf } from './entries.ts';
import type { PushedItem, PushSink } from './item.ts';

/** What one entry of a batch is: an item, or why it is none. */
export type BatchEntry = PushedItem | 'other' | 'malformed';

/** What a batch came to. */
export interface Batch {
  readonly items: readonly PushedItem[];
  /** The body of the answer: one entry for each of the batch, in its order. */
  readonly answer: string;
  readonly malformed: number;
  /** Entries with an action that we know nothing of. */
  readonly others: number;
}

/** Larger entries are malformed; a registration has a kilobyte or two. */
const entryBytesMax = 262_144;
/** Of one batch; servers send 250. */
const entriesMax = 20_000;
/** Of an application's name or an instance's id. */
const nameLengthMax = 1_024;

/**
 * Reads `{"replicationList":[...]}`, and says what each entry is answered with: 404 for the heartbeat of an
 * instance that is not known, which makes its server send the whole of it; 200 for everything else, since
 * servers treat every other status as delivered too, and resend the whole batch upon an answer that is no such list.
 * Gives the event loop back in between. Undefined for a body that is no batch, or one of too many entries.
 */
export async function readBatch(
  body: Buffer,
  sink: Pick<PushSink, 'isKnown'>,
): Promise<Batch | undefined> {
  const pause = new Pause();
  const reading = new BatchReading(sink);
  try {
    for (const bytes of entriesOf(body)) {
      if (bytes !== undefined && !reading.add(bytes)) return undefined;
      if (pause.isDue()) await pause.turn();
    }
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
  return reading.batch();
}

const accepted = '{"statusCode":200}';
const unknown = '{"statusCode":404}';

class BatchReading {
  private readonly sink: Pick<PushSink, 'isKnown'>;
  private readonly items: PushedItem[] = [];
  private readonly statuses: string[] = [];
  private malformed = 0;
  private others = 0;

  constructor(sink: Pick<PushSink, 'isKnown'>) {
    this.sink = sink;
  }

  /** Returns false when there are too many. */
  add(bytes: Buffer): boolean {
    const entry = readEntry(bytes);
    let status = accepted;
    if (entry === 'malformed') this.malformed += 1;
    else if (entry === 'other') this.others += 1;
    else {
      if (entry.kind === 'heartbeat' && !this.sink.isKnown(entry.key, entry.dirtyAt)) {
        status = unknown;
      }
      this.items.push(entry);
    }
    this.statuses.push(status);
    return this.statuses.length <= entriesMax;
  }

  batch(): Batch {
    const { items, statuses, malformed, others } = this;
    return { items, answer: `{"responseList":[${statuses.join(',')}]}`, malformed, others };
  }
}

function readEntry(bytes: Buffer): BatchEntry {
  if (bytes.length > entryBytesMax) return 'malformed';
  try {
    return toEntry(JSON.parse(bytes.toString()));
  } catch {
    return 'malformed'; // no JSON, or nested so deeply that nothing can read it
  }
}

function toEntry(value: unknown): BatchEntry {
  if (!isJsonObject(value)) return 'malformed';
  const app = text(value['appName']);
  const id = text(value['id']);
  if (!isName(app) || !isName(id)) return 'malformed';
  const key = instanceKey(app, id);
  const dirtyAt = time(value['lastDirtyTimestamp']);
  const status = statusNamed(value['status']);
  switch (value['action']) {
    case 'Register':
      return registerItem(app, value['instanceInfo'], { key, dirtyAt });
    case 'Heartbeat':
      return { kind: 'heartbeat', key, status, dirtyAt };
    case 'Cancel':
      return { kind: 'cancel', key };
    case 'StatusUpdate':
      if (status === undefined) return 'malformed';
      return { kind: 'status', key, status, dirtyAt, isWithdrawn: false };
    case 'DeleteStatusOverride':
      return { kind: 'status', key, status: status ?? 'UNKNOWN', dirtyAt, isWithdrawn: true };
    default:
      return 'other';
  }
}

/** Reads the body of `POST apps/{APP}`: the instance in its envelope, or bare. Undefined when it is none. */
export function readRegistration(app: string, body: Buffer): PushedItem | undefined {
  if (body.length > entryBytesMax) return undefined;
  try {
    const value: unknown = JSON.parse(body.toString());
    const instance = isJsonObject(value) && 'instance' in value ? value['instance'] : value;
    const item = registerItem(app, instance, { key: '', dirtyAt: 0 });
    return item === 'malformed' ? undefined : item;
  } catch {
    return undefined; // see readEntry
  }
}

/** A registration as an item. `known`: what its envelope says; the record's own id and time go before it. */
function registerItem(
  app: string,
  instance: unknown,
  known: { readonly key: string; readonly dirtyAt: number },
): PushedItem | 'malformed' {
  if (!isJsonObject(instance)) return 'malformed';
  const decoded = decodeRecord(JSON.stringify(instance), app);
  const own = decoded.kind === 'record' ? decoded.record : decoded.bad;
  const key = own.id === '' ? known.key : instanceKey(own.app, own.id);
  if (key === '') return 'malformed';
  const dirtyAt = decoded.kind === 'record' ? decoded.record.dirtyAt : 0;
  return { kind: 'register', key, decoded, dirtyAt: dirtyAt === 0 ? known.dirtyAt : dirtyAt };
}

/** The status that is named; undefined when none is, or none that there is. */
export function statusNamed(value: unknown): EurekaStatus | undefined {
  const name = text(value);
  const status = toStatus(name);
  return status === 'UNKNOWN' && name.toUpperCase() !== 'UNKNOWN' ? undefined : status;
}

/** A time in milliseconds since 1970; 0 when it is none. */
export function time(value: unknown): number {
  const number = Number(text(value) || Number.NaN);
  return Number.isSafeInteger(number) && number > 0 ? number : 0;
}

function isName(name: string): boolean {
  return name !== '' && name.length <= nameLengthMax;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}
