import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Asked } from '../../../../agent/eureka/ask.ts';
import { judgeByList, judgeLive } from '../../../../agent/eureka/confirm.ts';
import type { Judgement } from '../../../../agent/eureka/confirm.ts';
import type { FetchResult } from '../../../../agent/eureka/fetch-result.ts';
import type { EurekaStatus } from '../../../../agent/eureka/record.ts';
import { RegistryView } from '../../../../agent/eureka/view.ts';
import type { SuspectedLoss } from '../../../../agent/source.ts';
import type { LossKind } from '../../../../common/guard.ts';
import type { Instance, InstanceStatus } from '../../../../common/instance.ts';

const { signal } = new AbortController();
const sampleSize = 50;

function losses(count: number, kind: LossKind = 'removal'): readonly SuspectedLoss[] {
  return Array.from({ length: count }, (_, index) => ({
    instance: { id: `SHOP/${index}`, status: 'UP' } as Instance,
    kind,
  }));
}

/** A server that answers by the last part of the path. */
function asking(answer: (id: number) => FetchResult): Asked & { readonly asked: number[] } {
  const asked: number[] = [];
  const client: Asked['client'] = {
    get: (_server, path) => {
      const id = Number(path.slice(path.lastIndexOf('/') + 1));
      asked.push(id);
      return Promise.resolve(answer(id));
    },
  };
  const server = { url: 'http://a/eureka/', authorization: undefined } as Asked['server'];
  return { client, server, upStatuses: ['UP'], asked };
}

function refused(refusal: Extract<FetchResult, { kind: 'refused' }>['refusal']): FetchResult {
  return { kind: 'refused', refusal, status: 404 };
}

const absent = refused('not-found');
const failed: FetchResult = { kind: 'failed', failure: 'timeout', detail: '' };

function body(text: string): FetchResult {
  const chunks = [Buffer.from(text)];
  const raw = { chunks, encoding: 'identity', hash: '' } as const;
  return { kind: 'ok', body: raw, receivedAt: 0, serverTime: 0, servedBy: '' };
}

function said(status: EurekaStatus): FetchResult {
  const instance = { instanceId: 'x', app: 'SHOP', ipAddr: '10.0.0.1', status };
  return body(JSON.stringify({ instance }));
}

function counts({ agreed, refuted }: Judgement): readonly number[] {
  return [agreed.length, refuted.length];
}

void describe('a live word', () => {
  test('every one of a few is asked about', async () => {
    const asked = asking((id) => (id < 3 ? said('UP') : absent));
    const judgement = await judgeLive(losses(sampleSize), asked, signal);
    assert.deepEqual(counts(judgement), [sampleSize - 3, 3]);
    assert.equal(asked.asked.length, sampleSize);
  });

  test('a sample that contradicts nothing speaks for very many', async () => {
    const asked = asking(() => absent);
    const judgement = await judgeLive(losses(5_000), asked, signal);
    assert.deepEqual(counts(judgement), [5_000, 0]);
    assert.equal(asked.asked.length, sampleSize);
  });

  test('when a sample contradicts, each one needs an answer of its own', async () => {
    const asked = asking((id) => (id % 2 === 0 ? said('UP') : absent));
    const judgement = await judgeLive(losses(1_000), asked, signal);
    assert.deepEqual(counts(judgement), [500, 500]);
  });

  test('of very many no more than some thousand are asked about in one go', async () => {
    const asked = asking((id) => (id % 2 === 0 ? said('UP') : absent));
    const { agreed, refuted } = await judgeLive(losses(10_000), asked, signal);
    assert.equal(agreed.length + refuted.length, 2_000);
    assert.equal(new Set([...agreed, ...refuted]).size, 2_000);
  });

  test('a server that gives no answers agrees with nothing', async () => {
    for (const count of [10, 1_000]) {
      const judgement = await judgeLive(
        losses(count),
        asking(() => failed),
        signal,
      );
      assert.deepEqual(counts(judgement), [0, 0]);
    }
  });

  test('a few answers that do not come spoil nothing but themselves', async () => {
    const some = asking((id) => (id < 3 ? failed : absent));
    assert.deepEqual(counts(await judgeLive(losses(10), some, signal)), [7, 0]);
    const rest = asking((id) => (id === 0 ? failed : absent));
    assert.deepEqual(
      counts(await judgeLive(losses(1_000), rest, signal, () => Math.random())),
      [1_000, 0],
    );
  });

  test('where a server cannot be asked its list stands', async () => {
    const asked = asking(() => refused('unexpected'));
    assert.deepEqual(counts(await judgeLive(losses(10), asked, signal)), [10, 0]);
  });

  test('who is there but not UP is demoted, not gone', async () => {
    const asked = asking(() => said('DOWN'));
    assert.deepEqual(counts(await judgeLive(losses(3), asked, signal)), [0, 0]);
    assert.deepEqual(counts(await judgeLive(losses(3, 'demotion'), asked, signal)), [3, 0]);
  });

  test('an answer that cannot be read is no denial', async () => {
    for (const text of ['', '{', 'null', '{"instance":{}}', '<html>']) {
      const judgement = await judgeLive(
        losses(1, 'demotion'),
        asking(() => body(text)),
        signal,
      );
      assert.deepEqual(counts(judgement), [0, 1], text);
    }
  });

  test('ids that name no instance are not asked about', async () => {
    const odd = [{ instance: { id: 'odd' } as Instance, kind: 'removal' as const }];
    const asked = asking(() => absent);
    assert.deepEqual(counts(await judgeLive(odd, asked, signal)), [0, 0]);
    assert.deepEqual(asked.asked, []);
  });

  test('nobody is asked after an abort', async () => {
    const asked = asking(() => absent);
    assert.deepEqual(counts(await judgeLive(losses(3), asked, AbortSignal.abort())), [0, 0]);
    assert.deepEqual(asked.asked, []);
  });
});

void describe('a list', () => {
  function listOf(entries: Readonly<Record<number, InstanceStatus | undefined>>): RegistryView {
    const view = new RegistryView();
    for (const [id, status] of Object.entries(entries)) {
      const instance = status === undefined ? undefined : ({ status } as Instance);
      view.set(`SHOP/${id}`, {
        status: 'UP',
        instance,
        dropped: status === undefined ? 'malformed' : undefined,
        registeredAt: 0,
        leaseEndsAt: 0,
        updatedAt: 0,
        dirtyAt: 0,
      });
    }
    return view;
  }

  test('refutes what it has as UP, agrees with what it lacks', async () => {
    const { agreed, refuted } = await judgeByList(losses(3), listOf({ 0: 'UP', 1: 'DOWN' }));
    assert.deepEqual(
      [agreed, refuted].map((some) => some.map(({ instance }) => instance.id)),
      [['SHOP/2'], ['SHOP/0']],
    );
  });

  test('agrees with demotions of what it has in another status', async () => {
    const judgement = await judgeByList(losses(3, 'demotion'), listOf({ 0: 'UP', 1: 'DOWN' }));
    assert.deepEqual(counts(judgement), [2, 1]);
  });

  test('takes a record that nobody understands for what it says', async () => {
    assert.deepEqual(counts(await judgeByList(losses(1), listOf({ 0: undefined }))), [0, 1]);
  });
});
