import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { freePorts } from '../rigs/ports.ts';
import { Binary } from '../support/binaries.ts';
import { eventually } from '../support/eventually.ts';

/** From SIGINT to the end of the process; it ends itself the hard way, with status 1, after this time. */
const stopDeadlineMs = 15_000;

async function isListening(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false; // refused
  } finally {
    socket.destroy();
  }
}

test('without a registry a demo shows what istiod would receive, and ends cleanly on Ctrl-C', async () => {
  const [mcp = 0, metrics = 0, admin = 0] = await freePorts(3);
  const demo = new Binary('standalone/main.ts', [
    ...['--mcp-listen', `127.0.0.1:${mcp}`],
    ...['--metrics-listen', `127.0.0.1:${metrics}`],
    ...['--admin-listen', `127.0.0.1:${admin}`],
  ]);
  try {
    const prints = (expected: RegExp): Promise<RegExpExecArray> =>
      eventually(() => {
        const match = expected.exec(demo.output());
        assert.ok(match, `${String(expected)} was not printed:\n${demo.output()}`);
        return match;
      });
    const page = await prints(/^Status page\s+(http:\S+)$/m);
    assert.equal(page[1], `http://127.0.0.1:${admin}/`);
    const registry = await prints(/^Demo registry\s+(http:\S+)$/m);
    for (const host of ['orders', 'payments', 'inventory', 'secure.vault']) {
      await prints(
        new RegExp(String.raw`^\S+ \+ ${host}\.tributary\.internal .* endpoints?$`, 'm'),
      );
    }
    await prints(
      /^ +\+ 10\.20\.\d+\.\d+:8080 {2}eu-west-1\/eu-west-1a {2}weight 100 {2}version=v1$/m,
    );
    await prints(/^\S+ ~ orders\.tributary\.internal .* 3 endpoints$/m);

    const html = await (await fetch(`http://127.0.0.1:${admin}/`)).text();
    for (const shown of ['demo/shop', 'orders.tributary.internal', 'demo-istiod']) {
      assert.ok(html.includes(shown), `${shown} is not on the status page`);
    }
    const ready = await fetch(`http://127.0.0.1:${metrics}/readyz`);
    assert.equal(ready.status, 200);
    assert.match(await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text(), /^tributary_/m);

    const ports = [mcp, metrics, admin, Number(URL.parse(registry[1] ?? '')?.port)];
    for (const port of ports) assert.equal(await isListening(port), true);
    process.kill(demo.pid, 'SIGINT');
    await eventually(() => assert.equal(demo.isRunning(), false), stopDeadlineMs);
    assert.equal(await demo.stop(), 0, demo.output());
    for (const port of ports) assert.equal(await isListening(port), false);
    assert.doesNotMatch(demo.output(), /"level":"(warn|error|fatal)"/);
  } finally {
    await demo.kill();
  }
});

test('a demo that is stopped at once ends cleanly too', async () => {
  const [mcp = 0, metrics = 0, admin = 0] = await freePorts(3);
  const demo = new Binary('standalone/main.ts', [
    ...['--mcp-listen', `127.0.0.1:${mcp}`],
    ...['--metrics-listen', `127.0.0.1:${metrics}`],
    ...['--admin-listen', `127.0.0.1:${admin}`],
  ]);
  try {
    await eventually(() => assert.match(demo.output(), /"msg":"starting"/));
    process.kill(demo.pid, 'SIGINT');
    await eventually(() => assert.equal(demo.isRunning(), false), stopDeadlineMs);
    assert.equal(await demo.stop(), 0, demo.output());
  } finally {
    await demo.kill();
  }
});
