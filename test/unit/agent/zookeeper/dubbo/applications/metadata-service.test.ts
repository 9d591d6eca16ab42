import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js';
import { createAskProvider } from '../../../../../../agent/zookeeper/dubbo/applications/metadata-service.ts';
import type { AskProvider } from '../../../../../../agent/zookeeper/dubbo/applications/provider-questions.ts';
import { TransientError } from '../../../../../../common/errors.ts';
import {
  getMetadataInfo,
  metadataInfoCodec,
  metadataRequestCodec,
} from '../../../../../../proto/dubbo-metadata.ts';
import { dubbo, recordOf, registration } from './registered.ts';

const record = recordOf(registration({ storage: 'local' }));
const { signal } = new AbortController();

type Handler = (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void;

interface Provider extends AsyncDisposable {
  readonly ask: AskProvider;
  readonly calls: ServerUnaryCall<Buffer, Buffer>[];
}

/** A metadata service that answers so. */
async function provide(handler: Handler, deadlineMs = 5000): Promise<Provider> {
  const server = new Server();
  const calls: ServerUnaryCall<Buffer, Buffer>[] = [];
  server.addService(
    { getMetadataInfo },
    {
      getMetadataInfo: (
        call: ServerUnaryCall<Buffer, Buffer>,
        answer: sendUnaryData<Buffer>,
      ): void => {
        calls.push(call);
        handler(call, answer);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  const dial = (): string => `127.0.0.1:${port}`;
  return {
    ask: createAskProvider({ wanted: dubbo.parameterKeys, dial, deadlineMs }),
    calls,
    [Symbol.asyncDispose]: async () => {
      server.forceShutdown();
      await Promise.resolve();
    },
  };
}

const services = {
  'a.A:tri': {
    name: 'a.A',
    protocol: 'tri',
    port: 50051,
    params: { weight: '5', token: 's3cret' },
  },
};

function answerWith(version: string): Handler {
  return (_call, answer) => {
    const bytes = metadataInfoCodec.encode({ app: 'orders', version, services });
    answer(null, Buffer.from(bytes));
  };
}

test('a provider tells the services of its revision, without secrets', async () => {
  await using provider = await provide(answerWith('r1'));
  const info = await provider.ask(record, signal);
  assert.deepEqual(info, {
    services: [
      {
        root: '',
        interfaceName: 'a.A',
        group: '',
        version: '',
        protocol: 'tri',
        port: 50051,
        parameters: new Map([
          ['application', 'orders'],
          ['weight', '5'],
        ]),
      },
    ],
    malformed: 0,
  });
  const [call] = provider.calls;
  assert.ok(call !== undefined);
  assert.deepEqual(metadataRequestCodec.decode(call.request), { revision: 'r1' });
  assert.deepEqual(
    ['tri-service-group', 'tri-service-version'].map((name) => call.metadata.get(name)),
    [['orders'], ['2.0.0']],
  );
  assert.equal(call.getPath(), '/org.apache.dubbo.metadata.MetadataServiceV2/GetMetadataInfo');
});

test('an answer for another revision is none', async () => {
  await using provider = await provide(answerWith('r2'));
  assert.equal(await provider.ask(record, signal), undefined);
});

test('an empty answer is none', async () => {
  await using provider = await provide((_call, answer) => {
    answer(null, Buffer.alloc(0));
  });
  assert.equal(await provider.ask(record, signal), undefined);
});

for (const [what, handler] of [
  ['an error', (_call, answer) => answer({ code: status.INTERNAL, details: 'no' })],
  ['garbage', (_call, answer) => answer(null, Buffer.from([0xff, 0xff, 0xff]))],
  ['silence', () => undefined],
] as const satisfies readonly (readonly [string, Handler])[]) {
  test(`${what} is a failure that may pass`, async () => {
    await using provider = await provide(handler, 100);
    await assert.rejects(provider.ask(record, signal), TransientError);
  });
}

test('a call ends when it is not wanted any more', async () => {
  const ended = new AbortController();
  await using provider = await provide(() => {
    ended.abort();
  });
  await assert.rejects(provider.ask(record, ended.signal), TransientError);
  await assert.rejects(provider.ask(record, ended.signal), TransientError);
});

test('the port of the metadata service is called where it registered', async () => {
  const params = JSON.stringify({ port: '1', protocol: 'tri' });
  const metadata = { 'dubbo.metadata-service.url-params': params };
  const ask = createAskProvider({ wanted: dubbo.parameterKeys, deadlineMs: 200 });
  const at = (text: string): Promise<unknown> => ask(recordOf(text), signal);
  await assert.rejects(at(registration({ address: '127.0.0.1', metadata })), /127\.0\.0\.1:1:/);
  await assert.rejects(at(registration({ address: '::1', port: 2 })), /\[::1\]:2:/);
});
