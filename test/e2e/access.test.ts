import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { createEurekaRegistry } from '../../standalone/eureka-registry/registry.ts';
import { serveEurekaRegistry } from '../../standalone/eureka-registry/server.ts';
import { Certificates } from '../support/certificates.ts';
import { startAgent } from '../support/binaries.ts';
import { eurekaApplication } from '../support/eureka-application.ts';
import { eventually } from '../support/eventually.ts';
import { startMesh } from '../support/mesh.ts';

const id = 'dc1/orders';
const host = 'orders.tributary.internal';

test('by flags alone: TLS and tokens on the feed, TLS on MCP, and a wrong token is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-access-'));
  const certificates = new Certificates();
  const stop = new AbortController();
  const registry = createEurekaRegistry({ readOnlyCacheMs: 0 });
  const listening = Promise.withResolvers<number>();
  const serving = serveEurekaRegistry(
    registry,
    { host: '127.0.0.1', port: 0 },
    stop.signal,
    ({ port }) => listening.resolve(port),
  );
  try {
    const authority = certificates.authority();
    const server = certificates.issue(authority);
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const good = file('good', 'a-token\n');
    const bad = file('bad', 'another-token\n');
    const url = `http://127.0.0.1:${await listening.promise}/eureka/`;
    await eurekaApplication(url, 'ORDERS', '192.0.2.1').register();
    await using mesh = await startMesh(
      id,
      [
        ...['--feed-cert', server.certFile, '--feed-key', server.keyFile],
        ...['--feed-token-file', good],
        ...['--mcp-cert', server.certFile, '--mcp-key', server.keyFile],
      ],
      { credentials: credentials.createSsl(readFileSync(authority.certFile)) },
    );
    const flags = ['--eureka', `${id}=${url}`, '--feed-ca', authority.certFile];
    const feed = `127.0.0.1:${mesh.ports.feed}`;
    const stranger = await startAgent([...flags, '--feed-token-file', bad], feed);
    mesh.agents.set('stranger', stranger);
    await eventually(() => assert.match(stranger.output(), /UNAUTHENTICATED|token/));
    assert.equal(mesh.endpoints(host), undefined);
    mesh.agents.set(id, await startAgent([...flags, '--feed-token-file', good], feed));
    await eventually(() => assert.deepEqual(mesh.endpoints(host), ['192.0.2.1:8080']));
    const outputs = [...mesh.agents.values(), mesh.aggregator].map((binary) => binary.output());
    for (const output of outputs) assert.doesNotMatch(output, /a-token|another-token/);
  } finally {
    stop.abort();
    await serving;
    certificates.remove();
    rmSync(folder, { recursive: true });
  }
});
