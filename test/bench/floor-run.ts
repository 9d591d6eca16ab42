import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from 'node-zookeeper-client';
import { create } from './zookeeper-load.ts';
import { Subscriber } from './subscriber.ts';
import { spread } from './statistics.ts';
import type { Spread } from './statistics.ts';

/**
 * The floor in the same run: a bare ZooKeeper watch and a bare gRPC message of the given size, from
 * a process of its own to the same subscriber. Returns create -> message whole, milliseconds.
 */
export async function measureFloor(
  client: Client,
  zookeeper: string,
  messageBytes: number,
  changes: number,
): Promise<Spread> {
  const file = join(tmpdir(), `tributary-floor-${process.pid}.bin`);
  writeFileSync(file, floorMessage(messageBytes));
  const folder = `/floor-${Date.now()}`;
  await create(client, folder);
  const script = new URL('floor.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, zookeeper, folder, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
    let arrived = Promise.withResolvers<number>();
    const subscriber = new Subscriber({
      address: `127.0.0.1:${chunk.toString().trim()}`,
      onPush: (push) => {
        arrived.resolve(push.at);
      },
    });
    await arrived.promise;
    const latencies: number[] = [];
    for (let index = 0; index < changes; index += 1) {
      await wait(250);
      arrived = Promise.withResolvers<number>();
      const since = performance.now();
      await create(client, `${folder}/n${index}`);
      latencies.push((await arrived.promise) - since);
    }
    subscriber.close();
    return spread(latencies);
  } finally {
    child.kill('SIGKILL');
    rmSync(file);
  }
}

/** A message of about this many bytes that a subscriber skims as quickly as it can: unknown fields of 2 kB. */
function floorMessage(bytes: number): Buffer {
  const piece = Buffer.alloc(2_000, 0x61);
  const field = Buffer.concat([Buffer.from([0x3a, 0xd0, 0x0f]), piece]);
  const count = Math.max(1, Math.round(bytes / field.length));
  return Buffer.concat(Array.from({ length: count }, () => field));
}
