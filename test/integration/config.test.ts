import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { eventually } from '../support/eventually.ts';

/** The binaries as an operator meets them: what they print, and their exit status. */

const top = new URL('../../', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'tributary-binaries-'));
after(() => rmSync(folder, { recursive: true }));

const programs = ['agent', 'aggregator', 'standalone'] as const;
const anyPorts = {
  agent: ['--metrics-listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'],
  aggregator: [
    ...['--mcp-listen', '127.0.0.1:0', '--feed-listen', '127.0.0.1:0'],
    ...['--metrics-listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'],
  ],
};
const agentBase = ['--eureka', 'dc1/orders=http://127.0.0.1:1/', '--aggregator', '127.0.0.1:1'];
const aggregatorBase = ['--expect', 'dc1/orders'];

class Process {
  out = '';
  err = '';
  readonly exited: Promise<readonly [number | null, NodeJS.Signals | null]>;
  private readonly child;

  constructor(program: string, args: readonly string[], env: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [`${top}${program}/main.ts`, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '', ...env },
    });
    this.child.stdout.on('data', (chunk: Buffer) => (this.out += chunk.toString()));
    this.child.stderr.on('data', (chunk: Buffer) => (this.err += chunk.toString()));
    this.exited = once(this.child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  }

  async code(): Promise<number | null> {
    return (await this.exited)[0];
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }
}

for (const program of programs) {
  test(`${program} tells its help, its version and its configuration`, async () => {
    const base = { agent: agentBase, aggregator: aggregatorBase, standalone: [] }[program];
    const help = new Process(program, ['--help']);
    const version = new Process(program, ['--version']);
    const printed = new Process(program, [...base, '--print-config']);
    assert.deepEqual(
      await Promise.all([help, version, printed].map((run) => run.code())),
      [0, 0, 0],
    );
    assert.match(help.out, /^Usage: tributary/m);
    assert.match(help.out, /--log-level/);
    assert.match(version.out, /^\d+\.\d+\.\d+\n$/);
    assert.match(printed.out, /^metrics_listen: 0\.0\.0\.0:99/m);
    assert.equal(help.err + version.err + printed.err, '');
  });
}

test('every mistake is told at once on standard error, with exit status 2', async () => {
  const path = join(folder, 'wrong.yaml');
  writeFileSync(path, 'expectt: [dc1/orders]\nmcp_share: 3\n');
  const run = new Process('aggregator', ['--config', path, '--feed-listen', '0.0.0.0:0'], {
    TRIBUTARY_LOG_LEVEL: 'loud',
  });
  assert.equal(await run.code(), 2);
  assert.deepEqual(
    run.err.split('\n').map((line) => line.split(': ').slice(0, 2).join(': ')),
    [
      `${path}: expectt`,
      '--expect: which registries are served? Write --expect <datacenter>/<name>[,...], like --expect dc1/orders,dc1/dubbo',
      `${path}: mcp_share`,
      'TRIBUTARY_LOG_LEVEL: expected one of trace, debug, info, warn, error, fatal, silent',
      '--feed-listen: everybody who reaches 0.0.0.0 could feed',
      'tributary-aggregator --help tells what can be set.',
      '',
    ],
  );
  assert.equal(run.out, '');
});

test('a token never leaves the agent, not even in a mistake', async () => {
  const run = new Process('agent', [
    ...['--eureka', 'dc1/orders=ftp://user:hunter2@host/', '--zookeeper', 'http://u:hunter2@h'],
    'http://u:hunter2@h/',
  ]);
  assert.equal(await run.code(), 2);
  assert.doesNotMatch(run.out + run.err, /hunter2/);
});

for (const [program, args] of [
  ['agent', [...agentBase, ...anyPorts.agent]],
  ['aggregator', [...aggregatorBase, ...anyPorts.aggregator]],
  [
    'standalone',
    [
      ...['--eureka', 'dc1/orders=http://127.0.0.1:1/', '--mcp-listen', '127.0.0.1:0'],
      ...anyPorts.agent,
    ],
  ],
] as const) {
  test(`${program} stops cleanly at SIGTERM, with exit status 0`, async () => {
    const run = new Process(program, args);
    await eventually(() => assert.match(run.out, /listening/, run.err));
    run.signal('SIGTERM');
    assert.deepEqual(await run.exited, [0, null], run.out + run.err);
    assert.match(run.out, /"msg":"stopped"/);
    for (const line of run.out.trim().split('\n')) JSON.parse(line);
  });
}

test('a port in use is told by its flag, with exit status 1', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const taken = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const cases = [
      ['aggregator', '--mcp-listen'],
      ['aggregator', '--feed-listen'],
      ['aggregator', '--metrics-listen'],
      ['aggregator', '--admin-listen'],
      ['agent', '--metrics-listen'],
      ['agent', '--admin-listen'],
    ] as const;
    for (const [program, flag] of cases) {
      const base = program === 'agent' ? agentBase : aggregatorBase;
      const ports = anyPorts[program].map((value, index, all) =>
        all[index - 1] === flag ? taken : value,
      );
      const run = new Process(program, [...base, ...ports]);
      assert.equal(await run.code(), 1, `${program} ${flag}`);
      assert.match(run.out, new RegExp(`${flag}: cannot listen on ${taken}: the port is in use`));
    }
  } finally {
    server.close();
  }
});

test('a second signal ends a stop at once, with exit status 1', async () => {
  // A client that never ends its request keeps the admin listener from closing for a second.
  const run = new Process('aggregator', [...aggregatorBase, ...anyPorts.aggregator]);
  const address = await eventually(() => {
    const match = /"admin":"([^"]+)"/.exec(run.out);
    assert.ok(match, run.err);
    return match[1] ?? '';
  });
  const [host = '', port = ''] = address.split(':');
  const socket = connect(Number(port), host).on('error', () => undefined);
  socket.write(
    'POST /api/registries/dc1/orders/release HTTP/1.1\r\nHost: localhost\r\n' +
      'X-Tributary-Request: 1\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n',
  );
  const [continued] = (await once(socket, 'data')) as [Buffer];
  assert.match(continued.toString(), /^HTTP\/1\.1 100 /);
  run.signal('SIGTERM');
  await eventually(() => assert.match(run.out, /"msg":"stopping"/));
  run.signal('SIGTERM');
  assert.equal(await run.code(), 1, run.out);
  assert.match(run.out, /SIGTERM came again/);
  socket.destroy();
});
