import type { CuratorRecord } from '../curator.ts';
import type { NodeReading } from '../reading.ts';
import { readDubboInstance } from './applications/record.ts';
import type { RecordContext } from './applications/record.ts';

/** What a node says by which an application of Dubbo 3 has registered, wherever it stands. Never throws. */
export function readRegistration(
  path: string,
  { record }: CuratorRecord,
  context: RecordContext,
): NodeReading {
  const said = readDubboInstance(record, context);
  if (typeof said === 'string') return { kind: 'dropped', reason: said, record: path };
  return { kind: 'fact', fact: { kind: 'application', record: said } };
}
