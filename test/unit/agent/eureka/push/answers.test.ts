import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { PushAnswers } from '../../../../../agent/eureka/push/answers.ts';
import type { PushAnswer, PushRequest } from '../../../../../agent/eureka/push/answers.ts';
import { BodyBudget, heldBytesMax } from '../../../../../agent/eureka/push/body.ts';

const log = pino({ level: 'silent' });
const fixtures = join(import.meta.dirname, '../../../../fixtures/eureka/replication');
const cancels =
  '{"replicationList":[{"appName":"A","id":"1","action":"Cancel"},7,{"appName":"A"}]}';

function requestOf(method: string, url: string, body = '', headers = {}): PushRequest {
  return {
    method,
    url,
    headers,
    async *[Symbol.asyncIterator]() {
      yield await Promise.resolve(Buffer.from(body));
    },
  };
}

const answers = (isKnown = true, budget?: BodyBudget): PushAnswers =>
  new PushAnswers({ isKnown: () => isKnown }, log, budget);

const pushed = async (body: string, to = answers()): Promise<PushAnswer> =>
  to.answer(requestOf('POST', '/eureka/peerreplication/batch/', body));

const replicated = async (method: string, path: string, body = ''): Promise<PushAnswer> =>
  answers().answer(
    requestOf(method, `/eureka/${path}`, body, { 'x-netflix-discovery-replication': 'true' }),
  );

test('every recorded batch is answered with a list as long as its own', async () => {
  for (const name of readdirSync(fixtures).filter((file) => file.endsWith('.json'))) {
    const text = readFileSync(join(fixtures, name), 'utf8');
    const answer = await pushed(text);
    assert.deepEqual([answer.status, answer.outcome, answer.others], [200, 'taken', 0], name);
    const { replicationList } = JSON.parse(text) as { replicationList: unknown[] };
    const { responseList } = JSON.parse(answer.body) as { responseList: object[] };
    assert.equal(responseList.length, replicationList.length);
    assert.equal(answer.items.length, replicationList.length);
    for (const entry of responseList) assert.deepEqual(entry, { statusCode: 200 });
  }
});

test('malformed entries are counted and told once', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(line) });
  const to = new PushAnswers({ isKnown: () => true }, log);
  assert.equal((await pushed(cancels, to)).others, 2);
  assert.equal((await pushed(cancels, to)).items.length, 1);
  assert.equal(lines.length, 1);
});

test('while too much is held, a batch is put off', async () => {
  const budget = new BodyBudget();
  assert.ok(budget.take(heldBytesMax));
  const { status, outcome, items } = await pushed(cancels, answers(true, budget));
  assert.deepEqual([status, outcome, items.length], [503, 'busy', 0]);
  budget.giveBack(heldBytesMax);
  assert.equal((await pushed(cancels, answers(true, budget))).status, 200);
});

test('a defect of ours is not asked for again', async () => {
  const broken = new PushAnswers(
    {
      isKnown: () => {
        throw new Error('defect');
      },
    },
    log,
  );
  const beat = '{"replicationList":[{"appName":"A","id":"1","action":"Heartbeat"}]}';
  assert.equal((await pushed(beat, broken)).status, 500);
});

test('a single call without what it is about is refused', async () => {
  assert.equal((await replicated('PUT', 'apps/A/1/status')).status, 400);
  assert.equal((await replicated('PUT', 'apps/A/1/status?value=DANCING')).status, 400);
  assert.equal((await replicated('POST', 'apps/A', '{"instance":7}')).status, 400);
  assert.equal((await replicated('POST', 'apps', '{}')).status, 404);
});

test('a single call is taken with what it says', async () => {
  const { items } = await replicated('DELETE', 'apps/a/h%3A1/status?lastDirtyTimestamp=7');
  assert.deepEqual(items, [
    { kind: 'status', key: 'A/h:1', status: 'UNKNOWN', dirtyAt: 7, isWithdrawn: true },
  ]);
  const beat = await replicated('PUT', 'apps/a/1?status=UP&lastDirtyTimestamp=8');
  assert.deepEqual(beat.items, [{ kind: 'heartbeat', key: 'A/1', status: 'UP', dirtyAt: 8 }]);
  assert.equal((await replicated('PUT', 'asg/g/status?value=ENABLED')).others, 1);
});

test('a request without a path is none', async () => {
  assert.equal((await answers().answer({ ...requestOf('GET', ''), url: undefined })).status, 404);
});
