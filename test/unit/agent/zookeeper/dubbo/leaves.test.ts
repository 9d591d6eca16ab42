import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDubboReading } from '../../../../../agent/zookeeper/dubbo/dubbo.ts';
import { defaultZooKeeperOptions } from '../../../../../agent/zookeeper/options.ts';
import type { NodeReading } from '../../../../../agent/zookeeper/reading.ts';
import { Sharing } from '../../../../../agent/zookeeper/sharing.ts';
import { readDump } from '../../../../support/zookeeper-writer.ts';

/** Leaves as the different implementations and generations of Dubbo write them. */

const reading = createDubboReading(
  {
    roots: ['/dubbo', '/mygroup'],
    hiddenInterfaces: defaultZooKeeperOptions.hiddenInterfaces,
    labelKeys: defaultZooKeeperOptions.dubboLabelKeys,
    metadataLabelKeys: [],
    zones: {},
  },
  new Sharing(),
);

/** As Go's and Java's encoders write it: spaces are `+`. */
const encoded = (text: string): string => encodeURIComponent(text).replaceAll('%20', '+');

interface Written {
  readonly url: string;
  readonly directory?: string;
  readonly id: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly weight?: number;
  readonly status?: string;
}

function check({ url, directory = 'com.example.User', ...expected }: Written): void {
  const path = `/dubbo/${directory}/providers/${encoded(url)}`;
  assert.equal(reading.want(path).node, true);
  const said = reading.read(path, Buffer.from('127.0.0.1'));
  assert.ok(said.kind === 'endpoint', JSON.stringify(said));
  const { id, labels, weight, status } = said.instance;
  assert.deepEqual(
    { id, labels, weight, status },
    { labels: {}, weight: 0, status: 'UP', ...expected },
  );
}

test('Dubbo 2.6 registers provider defaults under keys of their own', () => {
  check({
    url: 'dubbo://192.0.2.3:20880/com.example.User?anyhost=true&application=user&default.group=g1&default.weight=30&default.timeout=3000&dubbo=2.6.12&generic=false&interface=com.example.User&methods=get&pid=7&revision=1.0.0&side=provider&timestamp=1583153497000&version=1.0.0',
    id: 'dubbo:com.example.User:g1:1.0.0:dubbo://192.0.2.3:20880',
    labels: { application: 'user' },
    weight: 30,
  });
});

test('Dubbo 2.7 writes parameters without a value', () => {
  check({
    url: 'dubbo://192.0.2.3:20880/com.example.User?anyhost=true&application=user&deprecated=false&dubbo=2.0.2&dynamic=true&interface=com.example.User&metadata-type=remote&methods=get&pid=7&release=&service.name=ServiceBean:/com.example.User&side=provider&timestamp=1583153497000',
    id: 'dubbo:com.example.User:::dubbo://192.0.2.3:20880',
    labels: { application: 'user' },
  });
});

test('a static provider is one like any other', () => {
  check({
    url: 'dubbo://192.0.2.3:20880/com.example.User?category=providers&dynamic=false&enabled=true',
    id: 'dubbo:com.example.User:::dubbo://192.0.2.3:20880',
  });
});

test('dubbo-go 1 encodes values twice and weighs methods one by one', () => {
  check({
    url: 'dubbo://192.0.2.3:20000/com.example.User?anyhost=true&app.version=0.0.1&application=UserInfoServer&bean.name=UserProvider&category=providers&cluster=failover&dubbo=dubbo-provider-golang-1.3.0&environment=dev&group=&interface=com.example.User&ip=192.0.2.3&methods.GetUser.loadbalance=random&methods.GetUser.weight=0&module=dubbogo+user-info+server&organization=ikurento.com&pid=7&registry.role=3&release=dubbo-golang-1.3.0&service.filter=echo%2Ctoken%2Caccesslog&side=provider&timestamp=1583153497&version=&warmup=100',
    id: 'dubbo:com.example.User:::dubbo://192.0.2.3:20000',
    labels: { application: 'UserInfoServer', release: 'dubbo-golang-1.3.0' },
  });
});

test('dubbo-go 3 writes inner classes and IPv6 addresses its own way', () => {
  check({
    url: 'tri://fd00:0:0:0:0:0:0:3:20000/com.example.Outer$User?anyhost=true&app.version=3.0.0&application=go-server&bean.name=GreeterProvider&cluster=failover&dubbo.tag=blue&export=true&interface=com.example.Outer$User&loadbalance=random&message_size=4&methods=SayHello,SayHelloStream&module=sample&name=go-server&organization=dubbo-go&pid=7&registry.role=3&release=dubbo-golang-3.0.5&serialization=protobuf&service.filter=echo,metrics,token&side=provider&timestamp=1650000000&weight=50',
    directory: 'com.example.Outer%24User',
    id: 'dubbo:com.example.Outer$User:::tri://[fd00::3]:20000',
    labels: { application: 'go-server', 'dubbo.tag': 'blue', release: 'dubbo-golang-3.0.5' },
    weight: 50,
  });
});

test('dubbo-rust registers little more than the address', () => {
  check({
    url: 'tri://192.0.2.3:8888/com.example.User',
    id: 'dubbo:com.example.User:::tri://192.0.2.3:8888',
  });
});

test('every leaf that a real provider has written is an endpoint, and nothing of consumers is wanted', () => {
  const files =
    '2.7.23 2.7.23-simplified 2.7.23-configured 3.2.16-all 3.3.6-all 3.3.6-all.stopped 3.3.6-interface ' +
    '3.3.6-group 3.3.6-ext-protocol 3.3.6-simplified 3.3.6-configured 3.3.6-acl 3.3.6-instance-local ' +
    '3.3.6-instance-remote';
  let endpoints = 0;
  for (const file of files.split(' ')) {
    for (const { path } of readDump(`dubbo-${file}`)) {
      const want = reading.want(path);
      if (path.includes('/consumers')) assert.equal(want.node, false, path);
      if (!path.includes('/providers/')) continue;
      assert.equal(want.node, true, path);
      const said: NodeReading = reading.read(path, null);
      assert.ok(said.kind === 'endpoint', path);
      assert.ok(said.instance.status === 'UP' && said.traits?.application !== '', path);
      endpoints += 1;
    }
  }
  assert.ok(endpoints >= 26, String(endpoints));
});
