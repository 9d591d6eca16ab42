import { TransientError } from '../../../common/errors.ts';
import type { Connection } from './connection.ts';
import { describeErrorCode, errorCodes } from './error-codes.ts';
import { toServerPath } from './paths.ts';
import type { TreeAnswer, TreeQuestion } from './tree.ts';
import {
  decodeChildren,
  decodeData,
  decodeMultiRead,
  encodeMultiRead,
  encodeRead,
  encodeSync,
  opcodes,
} from './wire.ts';
import type { ReadResult } from './wire.ts';

/**
 * Questions that stand for themselves, where order does not matter and promises are fine.
 */

const existsInFlightMax = 256;
const questionsMax = 100;
/** So that an answer stays small beside what is followed. */
const questionBatchesInFlightMax = 2;

/** Asks the server to catch up with its leader. Rejects with TransientError. */
export async function sync(connection: Connection, chroot: string): Promise<void> {
  const path = toServerPath(chroot, '/');
  const error = await errorOf(connection, (xid) => encodeSync(xid, path));
  if (error !== errorCodes.ok) {
    throw new TransientError(`zookeeper: sync: ${describeErrorCode(error)}`);
  }
}

/**
 * Which of the paths do not exist, as of a sync before it. A path that cannot be asked about is
 * taken to exist. Rejects with TransientError when the connection ends.
 */
export async function findMissing(
  connection: Connection,
  chroot: string,
  paths: readonly string[],
): Promise<ReadonlySet<string>> {
  await sync(connection, chroot);
  const missing = new Set<string>();
  for (let start = 0; start < paths.length; start += existsInFlightMax) {
    await Promise.all(
      paths.slice(start, start + existsInFlightMax).map(async (path) => {
        const serverPath = toServerPath(chroot, path);
        const error = await errorOf(connection, (xid) =>
          encodeRead(xid, opcodes.exists, serverPath),
        );
        if (error === errorCodes.noNode) missing.add(path);
      }),
    );
  }
  return missing;
}

/** Reads beside the view, by multiRead; for servers >= 3.6. See TreeWatcher.ask. */
export async function answerTogether(
  connection: Connection,
  chroot: string,
  questions: readonly TreeQuestion[],
): Promise<readonly TreeAnswer[]> {
  const answers: TreeAnswer[] = [];
  const step = questionsMax * questionBatchesInFlightMax;
  for (let start = 0; start < questions.length; start += step) {
    const batches = [start, start + questionsMax]
      .map((from) => questions.slice(from, Math.min(from + questionsMax, start + step)))
      .filter((batch) => batch.length > 0);
    const results = await Promise.all(batches.map((batch) => multiRead(connection, chroot, batch)));
    results.flat().forEach((result, index) => {
      answers.push(answerOf(questions[start + index], result));
    });
  }
  return answers;
}

/** The same by single reads, for servers that do not know multiRead. */
export async function answerSingly(
  connection: Connection,
  chroot: string,
  questions: readonly TreeQuestion[],
): Promise<readonly TreeAnswer[]> {
  const answers: TreeAnswer[] = [];
  for (let start = 0; start < questions.length; start += questionsMax) {
    const some = questions.slice(start, start + questionsMax);
    const results = await Promise.all(some.map((one) => readOne(connection, chroot, one)));
    results.forEach((result, index) => answers.push(answerOf(some[index], result)));
  }
  return answers;
}

function multiRead(
  connection: Connection,
  chroot: string,
  batch: readonly TreeQuestion[],
): Promise<readonly ReadResult[]> {
  const operations = batch.map(({ kind, path }) => ({ kind, path: toServerPath(chroot, path) }));
  return new Promise((resolve, reject) => {
    connection.request(
      (xid) => encodeMultiRead(xid, operations),
      (error, body) => {
        if (error === errorCodes.ok) resolve(decodeMultiRead(body, batch.length));
        else reject(new TransientError(`zookeeper: multiRead: ${describeErrorCode(error)}`));
      },
      reject,
    );
  });
}

function readOne(
  connection: Connection,
  chroot: string,
  { kind, path }: TreeQuestion,
): Promise<ReadResult> {
  const opcode = kind === 'children' ? opcodes.getChildren : opcodes.getData;
  return new Promise((resolve, reject) => {
    connection.request(
      (xid) => encodeRead(xid, opcode, toServerPath(chroot, path)),
      (error, body) => {
        if (error !== errorCodes.ok) resolve({ error, children: [], data: null });
        else if (kind === 'children')
          resolve({ error, children: decodeChildren(body), data: null });
        else resolve({ error, children: [], data: decodeData(body) });
      },
      reject,
    );
  });
}

function answerOf(question: TreeQuestion | undefined, result: ReadResult): TreeAnswer {
  if (result.error === errorCodes.noNode) return { kind: 'missing' };
  if (result.error !== errorCodes.ok) {
    return { kind: 'unreadable', reason: describeErrorCode(result.error) };
  }
  return question?.kind === 'children'
    ? { kind: 'children', names: result.children }
    : { kind: 'data', data: result.data };
}

function errorOf(connection: Connection, encode: (xid: number) => Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    connection.request(encode, (error) => resolve(error), reject);
  });
}
