import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { after, describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { agentProgram } from '../../agent/config.ts';
import type { AgentValues } from '../../agent/config.ts';
import { aggregatorProgram, feedAddress } from '../../aggregator/config.ts';
import type { AggregatorValues } from '../../aggregator/config.ts';
import { loadConfiguration } from '../../common/config.ts';
import type { Program } from '../../common/config.ts';
import type { Options, Values } from '../../common/option.ts';
import { Certificates } from '../support/certificates.ts';

const top = new URL('../../', import.meta.url).pathname;
const temporary = mkdtempSync(join(tmpdir(), 'tributary-deploy-'));
after(() => rmSync(temporary, { recursive: true, force: true }));

type Labels = Readonly<Record<string, string>>;

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly resources: { readonly limits: Readonly<Record<string, string>> };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

interface PodSpec {
  readonly containers: readonly [Container];
  readonly automountServiceAccountToken: boolean;
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly volumes: readonly Readonly<Record<string, unknown>>[];
}

interface Port {
  readonly port: number;
  readonly targetPort?: string;
}

interface Manifest {
  readonly file: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly replicas: number;
    readonly serviceName?: string;
    readonly strategy?: { readonly type: string };
    readonly clusterIP?: string;
    readonly publishNotReadyAddresses?: boolean;
    readonly selector: Labels & { readonly matchLabels?: Labels };
    readonly podSelector: { readonly matchLabels: Labels };
    readonly ports: readonly Port[];
    readonly ingress: readonly {
      readonly from: readonly Readonly<Record<string, { readonly matchLabels: Labels }>>[];
      readonly ports: readonly Port[];
    }[];
    readonly template: { readonly metadata: { readonly labels: Labels }; readonly spec: PodSpec };
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[];
  };
}

function parse(path: string): unknown[] {
  const documents = parseAllDocuments(readFileSync(join(top, path), 'utf8'));
  return [...documents].map((document) => {
    assert.deepEqual([...document.errors, ...document.warnings], [], path);
    return document.toJS() as unknown;
  });
}

const folder = 'deploy/kubernetes';
const files = readdirSync(join(top, folder)).filter((name) => name.endsWith('.yaml'));
const manifests = files
  .filter((file) => file !== 'kustomization.yaml')
  .flatMap((file) => parse(`${folder}/${file}`).map((one) => ({ file, ...(one as object) })))
  .map((one) => one as Manifest);
const workloads = manifests.filter(({ kind }) => kind === 'StatefulSet' || kind === 'Deployment');
const aggregator = find('StatefulSet', 'tributary-aggregator');
const agents = workloads.filter(({ kind }) => kind === 'Deployment');

function find(kind: string, name: string): Manifest {
  const found = manifests.find((one) => one.kind === kind && one.metadata.name === name);
  assert.ok(found, `${kind} ${name}`);
  return found;
}

function selects(selector: Labels, { spec }: Manifest): boolean {
  const { labels } = spec.template.metadata;
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

const certificates = new Certificates();
const pair = certificates.authority();
after(() => certificates.remove());

/** What a file of that name would hold: certificates and keys are looked into. */
function contentOf(path: string): string | Buffer {
  if (/\.(crt|pem)$/.test(path)) return pair.cert;
  return path.endsWith('.key') ? pair.key : 'placeholder';
}

/** The text with the files that it names standing in a folder of the test. */
function moved(text: string): string {
  return text.replaceAll(/\/etc\/tributary\/[\w./-]+/g, (path) => {
    const file = join(temporary, path);
    mkdirSync(dirname(file), { recursive: true });
    if (!existsSync(file)) writeFileSync(file, contentOf(path));
    return file;
  });
}

/** Reads a configuration as the binary would; fails for a flag, variable or key that does not exist. */
function load<O extends Options>(
  program: Program<O>,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Values<O> {
  const loaded = loadConfiguration(program, {
    argv: argv.map(moved),
    env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, moved(value)])),
  });
  assert.ok(loaded.kind === 'values');
  assert.deepEqual(loaded.warnings, []);
  return loaded.values;
}

function containerOf({ spec }: Manifest): Container {
  return spec.template.spec.containers[0];
}

function environmentOf({ env = [] }: Container): Record<string, string> {
  return Object.fromEntries(env.map(({ name, value = '' }) => [name, value]));
}

function aggregatorValues(): AggregatorValues {
  const config = find('ConfigMap', 'tributary-aggregator');
  const text = config.data?.['aggregator.yaml'] ?? '';
  writeFileSync(moved('/etc/tributary/aggregator.yaml'), moved(text));
  const container = containerOf(aggregator);
  return load(aggregatorProgram, container.args ?? [], environmentOf(container));
}

function agentValues(agent: Manifest): AgentValues {
  const container = containerOf(agent);
  return load(agentProgram, container.args ?? [], environmentOf(container));
}

describe('the Kubernetes manifests', () => {
  test('are objects of one namespace, each named once, all of them in the kustomization', () => {
    const names = manifests.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    assert.equal(new Set(names).size, names.length);
    for (const { kind, apiVersion, metadata, file } of manifests) {
      assert.ok(apiVersion, file);
      if (kind !== 'Namespace') assert.equal(metadata.namespace, 'tributary', file);
    }
    const [kustomization] = parse(`${folder}/kustomization.yaml`) as [
      { readonly resources: string[]; readonly images: { readonly name: string }[] },
    ];
    const wanted = files.filter((file) => !/^kustomization|example/.test(file));
    assert.deepEqual(kustomization.resources.toSorted(), wanted.toSorted());
    const images = new Set(workloads.map((one) => containerOf(one).image.split(':')[0]));
    assert.deepEqual(new Set(kustomization.images.map(({ name }) => name)), images);
  });

  test('configure an aggregator that starts', () => {
    const values = aggregatorValues();
    assert.deepEqual(values.expect, ['dc1/orders', 'dc1/dubbo']);
    assert.equal(values.feedClients.length, 2);
    const ports = [values.mcpListen, feedAddress(values), values.metricsListen];
    const declared = containerOf(aggregator).ports.map(({ containerPort }) => containerPort);
    assert.deepEqual(
      declared,
      ports.map(({ port }) => port),
    );
    for (const { host } of ports) assert.equal(host, '0.0.0.0');
    const state = containerOf(aggregator).volumeMounts.find(({ name }) => name === 'state');
    assert.equal(state?.mountPath, values.stateDir);
    assert.equal(aggregator.spec.volumeClaimTemplates?.[0]?.metadata.name, 'state');
  });

  test('configure agents that start, one for each registry that the aggregator expects', () => {
    const values = agents.map(agentValues);
    const read = values.map(({ eureka, zookeeper }) => (eureka ?? zookeeper)?.registry);
    assert.deepEqual(new Set(read), new Set(aggregatorValues().expect));
    assert.ok(values.some(({ eureka }) => eureka) && values.some(({ zookeeper }) => zookeeper));
    const feed = find('Service', 'tributary-feed');
    for (const { aggregator: addresses } of values) {
      const host = `${feed.metadata.name}.tributary.svc`;
      assert.deepEqual(addresses, [{ host, port: feed.spec.ports[0]?.port }]);
    }
    for (const { spec } of agents) {
      // Two agents with one id would end each other's streams.
      assert.equal(spec.replicas, 1);
      assert.equal(spec.strategy?.type, 'Recreate');
    }
    for (const [index, agent] of agents.entries()) {
      const declared = containerOf(agent).ports.map(({ containerPort }) => containerPort);
      assert.deepEqual(declared, [values[index]?.metricsListen.port]);
    }
  });

  test('mount every file that is named, from Secrets whose keys exist', () => {
    const example = readFileSync(join(top, folder, 'secrets.example.yaml'), 'utf8');
    for (const workload of workloads) {
      const { volumes } = workload.spec.template.spec;
      const { args = [], volumeMounts } = containerOf(workload);
      const config = workload === aggregator ? find('ConfigMap', 'tributary-aggregator').data : {};
      const text = [...args, ...Object.values(config ?? {})].join('\n');
      for (const [path] of text.matchAll(/\/etc\/tributary\/[\w./-]+/g)) {
        const mount = volumeMounts.find(({ mountPath }) => `${path}/`.startsWith(`${mountPath}/`));
        assert.ok(mount, path);
        const volume = volumes.find((one) => one['name'] === mount.name);
        const secret = volume?.['secret'] as
          { secretName: string; items?: { key: string; path: string }[] } | undefined;
        if (secret === undefined) continue;
        const file = path.slice(mount.mountPath.length + 1);
        const key = secret.items?.find((item) => item.path === file)?.key ?? file;
        assert.ok(key in (find('Secret', secret.secretName).stringData ?? {}), path);
      }
      assert.ok(
        volumes.every((volume) => volumeMounts.some(({ name }) => name === volume['name'])),
      );
    }
    assert.match(example, /REPLACE-ME/);
  });

  test('hold no secrets, only places for them', () => {
    const secrets = manifests.filter(({ kind }) => kind === 'Secret');
    assert.ok(secrets.length > 0);
    for (const { stringData = {}, data, file } of secrets) {
      assert.equal(file, 'secrets.example.yaml');
      assert.equal(data, undefined);
      for (const value of Object.values(stringData)) assert.equal(value, 'REPLACE-ME');
    }
  });

  test('run everything without rights', () => {
    for (const workload of workloads) {
      const pod = workload.spec.template.spec;
      const container = containerOf(workload);
      assert.equal(pod.automountServiceAccountToken, false);
      assert.equal(pod.securityContext['runAsNonRoot'], true);
      assert.equal(pod.securityContext['runAsUser'], 65532);
      assert.deepEqual(pod.securityContext['seccompProfile'], { type: 'RuntimeDefault' });
      assert.deepEqual(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      assert.ok(container.resources.limits['memory']);
      assert.ok(pod.terminationGracePeriodSeconds > 15);
    }
  });

  test('probe health and readiness where they are served', () => {
    for (const workload of workloads) {
      const { readinessProbe, livenessProbe } = containerOf(workload);
      assert.deepEqual(readinessProbe.httpGet, { path: '/readyz', port: 'http-metrics' });
      assert.deepEqual(livenessProbe.httpGet, { path: '/healthz', port: 'http-metrics' });
    }
  });

  test('have Services that reach the aggregator, the feed before it is ready', () => {
    const { ports } = containerOf(aggregator);
    const services = manifests.filter(({ kind }) => kind === 'Service');
    assert.equal(services.length, 3);
    for (const { spec, file } of services) {
      assert.ok(selects(spec.selector, aggregator), file);
      assert.ok(agents.every((agent) => !selects(spec.selector, agent)));
      for (const { port, targetPort } of spec.ports) {
        assert.equal(ports.find(({ name }) => name === targetPort)?.containerPort, port);
      }
    }
    const [mcp, feed] = ['tributary-mcp', 'tributary-feed'].map((name) => find('Service', name));
    assert.equal(mcp?.spec.ports[0]?.port, 9902);
    assert.equal(mcp.spec.publishNotReadyAddresses, undefined);
    assert.equal(feed?.spec.ports[0]?.port, 9903);
    assert.equal(feed.spec.clusterIP, 'None');
    assert.equal(feed.spec.publishNotReadyAddresses, true);
    assert.equal(aggregator.spec.serviceName, feed.metadata.name);
  });

  test('select their own pods', () => {
    for (const workload of workloads) {
      const { matchLabels } = workload.spec.selector;
      assert.ok(matchLabels);
      assert.deepEqual(
        workloads.filter((other) => selects(matchLabels, other)),
        [workload],
      );
    }
  });

  test('let only istiod reach MCP, and only agents the feed', () => {
    const { spec } = find('NetworkPolicy', 'tributary-aggregator');
    assert.ok(selects(spec.podSelector.matchLabels, aggregator));
    const whoReaches = (port: number) =>
      spec.ingress.filter(({ ports }) => ports.some((one) => one.port === port));
    assert.deepEqual(whoReaches(9902), [
      {
        from: [
          {
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'istio-system' } },
            podSelector: { matchLabels: { app: 'istiod' } },
          },
        ],
        ports: [{ protocol: 'TCP', port: 9902 }],
      },
    ]);
    const [feed, ...others] = whoReaches(9903);
    assert.deepEqual(others, []);
    const from = feed?.from[0]?.['podSelector']?.matchLabels;
    assert.ok(from && feed.from.length === 1);
    assert.ok(agents.every((agent) => selects(from, agent)));
    assert.deepEqual(whoReaches(9905), []);
  });
});

test('the mesh configuration lists the cluster itself and the aggregator', () => {
  const { metadata, spec } = find('Service', 'tributary-mcp');
  const address = `xds://${metadata.name}.tributary.svc:${spec.ports[0]?.port ?? 0}`;
  for (const file of ['mesh-config.yaml', 'mesh-config-tls.yaml']) {
    const [{ meshConfig }] = parse(`deploy/istio/${file}`) as [
      { meshConfig: { configSources: { address: string; tlsSettings?: { mode: string } }[] } },
    ];
    assert.deepEqual(
      meshConfig.configSources.map((source) => source.address),
      ['k8s://', address],
    );
    const modes = meshConfig.configSources.map(({ tlsSettings }) => tlsSettings?.mode);
    assert.deepEqual(modes, [undefined, file.includes('tls') ? 'SIMPLE' : undefined]);
  }
});

describe('the systemd unit', () => {
  const unit = readFileSync(join(top, 'deploy/systemd/tributary-agent.service'), 'utf8');
  const [, command = ''] = /^ExecStart=(.*)$/m.exec(unit) ?? [];
  const lines = readFileSync(join(top, 'deploy/systemd/agent.env.example'), 'utf8').split('\n');
  const read = (all: readonly string[]) =>
    Object.fromEntries(
      all.flatMap((line) => {
        const match = /^#?([A-Z_]+)=(.*)$/.exec(line);
        return match === null ? [] : [[match[1] ?? '', match[2] ?? '']];
      }),
    );

  test('starts an agent with the example environment', () => {
    const [node, script = '', ...rest] = command.split(' ');
    assert.equal(node, '/usr/bin/node');
    assert.ok(existsSync(join(top, script)));
    const argv = rest.map((arg) =>
      arg.replace('${CREDENTIALS_DIRECTORY}', '/etc/tributary/credentials'),
    );
    const given = load(agentProgram, argv, read(lines.filter((line) => !line.startsWith('#'))));
    assert.equal(given.eureka?.registry, 'dc1/orders');
    // What stands commented out is right as well.
    load(agentProgram, argv, read(lines));
  });

  test('is hardened, as far as V8 lets it be', () => {
    for (const setting of ['DynamicUser=yes', 'ProtectSystem=strict', 'NoNewPrivileges=yes']) {
      assert.ok(unit.split('\n').includes(setting), setting);
    }
    assert.doesNotMatch(unit, /^MemoryDenyWriteExecute=/m);
  });
});

for (const name of ['agent', 'aggregator']) {
  describe(`Dockerfile.${name}`, () => {
    const text = readFileSync(join(top, `Dockerfile.${name}`), 'utf8').replaceAll('\\\n', ' ');
    const instructions = text.split('\n').map((line) => line.trim());
    const args = (word: string): string[] =>
      instructions
        .filter((line) => line.startsWith(`${word} `))
        .map((line) => line.slice(word.length + 1).trim());
    const copied = args('COPY')
      .filter((line) => !line.startsWith('--from'))
      .flatMap((line) => line.split(/\s+/).slice(0, -1));

    test('copies what is imported, and nothing is kept from it', () => {
      const ignored = readFileSync(join(top, '.dockerignore'), 'utf8').split('\n');
      for (const path of copied) {
        assert.ok(existsSync(join(top, path)), path);
        assert.ok(ignored.includes(`!${path}`), `${path} is in .dockerignore`);
      }
      const [folders, foreign] = [copied, name === 'agent' ? 'aggregator' : 'agent'];
      assert.ok(!folders.includes(foreign));
      for (const path of sources(name)) {
        const [first = ''] = path.split('/');
        assert.ok(folders.includes(first), path);
      }
    });

    test('runs as a numeric user, as process 1, with production dependencies only', () => {
      assert.deepEqual(args('USER'), ['65532:65532']);
      assert.deepEqual(
        args('ENTRYPOINT').map((line) => JSON.parse(line) as unknown),
        [['/usr/local/bin/node', `${name}/main.ts`]],
      );
      assert.ok(args('RUN').some((line) => line.startsWith('npm ci --omit=dev')));
    });

    test('exposes what listens on all addresses', () => {
      const values = name === 'agent' ? undefined : aggregatorValues();
      const metrics = 9906;
      const ports = values ? [values.mcpListen, feedAddress(values), values.metricsListen] : [];
      const expected = values ? ports.map(({ port }) => port).join(' ') : String(metrics);
      assert.deepEqual(args('EXPOSE'), [expected]);
      if (values) assert.deepEqual(args('VOLUME'), [values.stateDir]);
    });

    test('has a health check that tells the healthy from the unhealthy', async () => {
      const [line = ''] = args('HEALTHCHECK');
      const [, command = '[]'] = /CMD (\[.*\])$/.exec(line) ?? [];
      const [node, ...rest] = JSON.parse(command) as string[];
      assert.equal(node, '/usr/local/bin/node');
      let status = 200;
      const server = createServer((request, response) => {
        response.writeHead(request.url === '/healthz' ? status : 404).end();
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const check = async (): Promise<unknown> => {
        const env = { ...process.env, TRIBUTARY_METRICS_LISTEN: `0.0.0.0:${port}` };
        const child = spawn(process.execPath, rest, { env, stdio: 'ignore' });
        const [code] = (await once(child, 'exit')) as [unknown];
        return code;
      };
      assert.equal(await check(), 0);
      status = 503;
      assert.equal(await check(), 1);
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      assert.equal(await check(), 1);
    });
  });
}

/** The files that a binary imports, itself included, relative to the top. */
function sources(binary: string): Set<string> {
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const text = readFileSync(join(top, path), 'utf8');
    for (const [, target = ''] of text.matchAll(
      /^(?:import|export|\}) [^;]*?from '(\.[^']+)';/gm,
    )) {
      visit(normalize(join(dirname(path), target)));
    }
  };
  visit(`${binary}/main.ts`);
  return seen;
}
