import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import type { PushedItem } from '../../agent/eureka/push/item.ts';
import { PushListener } from '../../agent/eureka/push/listener.ts';
import { startNetflixEureka } from '../rigs/eureka.ts';
import type { EurekaRig } from '../rigs/eureka.ts';
import { freePorts } from '../rigs/ports.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { startSpringEureka } from '../rigs/spring.ts';
import { eurekaApplication } from '../support/eureka-application.ts';
import { eventually } from '../support/eventually.ts';

/**
 * What real servers say to the listener, and how they take its answers. It is the only peer of each, and shows
 * no registry: so that it starts and serves at all is the first thing that is tested.
 */
const makes = [
  ['Netflix', 'every', (peer: string) => startNetflixEureka({ host: 'localhost', peers: [peer] })],
  ['Spring Cloud', 'ci', (peer: string) => startSpringEureka({ host: 'localhost', peers: [peer] })],
] as const;

const key = 'ORDERS/10.0.0.1:orders';

/** A listener that can be away for a while, with a password, and with what it was told. */
class Listener {
  readonly port: number;
  readonly items: PushedItem[] = [];
  readonly outcomes: string[] = [];
  isKnown = true;
  private readonly folder = mkdtempSync(join(tmpdir(), 'tributary-push-'));
  private stopNow: (() => Promise<void>) | undefined;

  constructor(port: number) {
    this.port = port;
    writeFileSync(this.userFile, 'eureka:p@ss\n');
  }

  get url(): string {
    return `http://eureka:p%40ss@127.0.0.1:${this.port}/eureka/`;
  }

  async start(): Promise<void> {
    const abort = new AbortController();
    const listening = Promise.withResolvers<unknown>();
    const running = new PushListener(
      {
        listen: { host: '127.0.0.1', port: this.port },
        userFile: this.userFile,
        certFile: undefined,
        keyFile: undefined,
        clientCaFile: undefined,
      },
      { isKnown: () => this.isKnown, take: (items) => void this.items.push(...items) },
      {
        pushRequest: (outcome) => void this.outcomes.push(outcome),
        pushItems: () => undefined,
        pushPeer: () => undefined,
      },
      pino({ level: 'silent' }),
    ).run(abort.signal, listening.resolve);
    running.catch(listening.reject);
    this.stopNow = async () => {
      abort.abort();
      await running;
    };
    await listening.promise;
  }

  async stop(): Promise<void> {
    await this.stopNow?.();
    this.stopNow = undefined;
  }

  /** The next item of this kind that has not been asked for yet. */
  async next<K extends PushedItem['kind']>(kind: K): Promise<Extract<PushedItem, { kind: K }>> {
    return eventually(() => {
      const at = this.items.findIndex((item) => item.kind === kind);
      const [item] = at === -1 ? [] : this.items.splice(at, 1);
      assert.ok(item !== undefined, `no ${kind} has come`);
      return item as Extract<PushedItem, { kind: K }>;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true });
  }

  private get userFile(): string {
    return join(this.folder, 'user');
  }
}

interface Pair extends AsyncDisposable {
  readonly listener: Listener;
  readonly server: EurekaRig;
}

async function started(start: (peer: string) => Promise<EurekaRig>): Promise<Pair> {
  const [port = 0] = await freePorts(1);
  const listener = new Listener(port);
  await listener.start();
  const server = await start(listener.url);
  return {
    listener,
    server,
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await listener[Symbol.asyncDispose]();
    },
  };
}

/** What stands in front of us while we are away: 503 to whoever comes, until a server has pushed in vain. */
async function turnOneAway(port: number): Promise<void> {
  const pushed = Promise.withResolvers<unknown>();
  const proxy = createServer((request, response) => {
    // A Netflix server loses a thread for good when it is cut off while it sends.
    request.resume().on('end', () => response.writeHead(503, { connection: 'close' }).end());
    if (request.method === 'POST') response.on('finish', pushed.resolve);
  });
  proxy.listen(port, '127.0.0.1');
  await pushed.promise;
  await promisify(proxy.close.bind(proxy))();
}

for (const [make, set, start] of makes) {
  rigTest(`a ${make} server whose only peer we are passes every write on`, set, async () => {
    await using pair = await started(start);
    const { listener, server } = pair;
    const orders = eurekaApplication(server.serviceUrl, 'ORDERS', '10.0.0.1');

    await orders.register({ port: 8080, metadata: { version: '1' } });
    const first = await listener.next('register');
    assert.ok(first.decoded.kind === 'record');
    assert.equal(first.key, key);
    assert.ok(first.dirtyAt > 0);
    assert.equal(first.decoded.record.port?.number, 8080);

    await orders.heartbeat();
    assert.equal((await listener.next('heartbeat')).key, key);

    listener.isKnown = false;
    await orders.heartbeat();
    const asked = await listener.next('register');
    assert.ok(asked.decoded.kind === 'record', 'the 404 brought the whole instance');
    assert.equal(asked.decoded.record.metadata.get('version'), '1');
    listener.isKnown = true;

    await orders.override('OUT_OF_SERVICE');
    const set = await listener.next('status');
    assert.deepEqual([set.status, set.isWithdrawn], ['OUT_OF_SERVICE', false]);
    await orders.removeOverride();
    const withdrawn = await listener.next('status');
    assert.deepEqual([withdrawn.status, withdrawn.isWithdrawn], ['UP', true]);

    const url = `${server.serviceUrl}apps/ORDERS/10.0.0.1:orders/metadata?version=2`;
    assert.ok((await fetch(url, { method: 'PUT' })).ok);
    const changed = await listener.next('register');
    assert.ok(changed.decoded.kind === 'record');
    assert.equal(changed.decoded.record.metadata.get('version'), '2');

    await orders.cancel();
    assert.equal((await listener.next('cancel')).key, key);
    assert.ok(!listener.outcomes.includes('unauthorized'));
    assert.ok(!listener.outcomes.includes('malformed'));
  });

  rigTest(`a ${make} server serves while we are away, and tells the rest later`, set, async () => {
    await using pair = await started(start);
    const { listener, server } = pair;
    const orders = eurekaApplication(server.serviceUrl, 'ORDERS', '10.0.0.1');
    await orders.register();
    await listener.next('register');
    await listener.stop();
    const late = eurekaApplication(server.serviceUrl, 'LATE', '10.0.0.2');
    await late.register();
    await orders.override('DOWN');
    await orders.heartbeat();
    await turnOneAway(listener.port);
    await listener.start();
    assert.equal((await listener.next('register')).key, 'LATE/10.0.0.2:late');
    assert.equal((await listener.next('status')).status, 'DOWN');
  });
}
