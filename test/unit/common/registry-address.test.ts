import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  eurekaAddressSchema,
  formatEurekaAddress,
  formatZooKeeperAddress,
  zooKeeperAddressSchema,
} from '../../../common/registry-address.ts';

const messages = (schema: typeof eurekaAddressSchema | typeof zooKeeperAddressSchema) => {
  return (value: unknown): string =>
    (schema.safeParse(value).error?.issues ?? []).map(({ message }) => message).join(' | ');
};

test('an Eureka cluster is an id and its servers', () => {
  assert.deepEqual(eurekaAddressSchema.parse('dc1/orders=http://a:8761/eureka/,https://b/e'), {
    registry: 'dc1/orders',
    servers: ['http://a:8761/eureka/', 'https://b/e'],
  });
  assert.deepEqual(eurekaAddressSchema.parse(' dc1/orders = http://a/ , '.replace(' =', '=')), {
    registry: 'dc1/orders',
    servers: ['http://a/'],
  });
});

test('what is no address does not show what may be a password in it', () => {
  const zookeeper = messages(zooKeeperAddressSchema);
  const eureka = messages(eurekaAddressSchema);
  for (const said of [
    zookeeper('dc1/t=user:secret@zk1:2181'),
    zookeeper('dc1/t=user:secret,secret@zk1:2181'),
    eureka('dc1/t=user:secret@eureka:8761'),
    eureka('dc1/t=http//user:sec/secret@eureka:8761'),
  ]) {
    assert.match(said, /^expected /);
    assert.doesNotMatch(said, /secret/);
  }
});

test('a DNS TXT record may list the servers of an Eureka cluster', () => {
  const text = 'txt+https://u:secret@txt.eu.example.com:8761/eureka/';
  const address = eurekaAddressSchema.parse(`dc1/orders=${text},http://a/`);
  assert.deepEqual(address.servers, [text, 'http://a/']);
  assert.equal(
    formatEurekaAddress(address),
    'dc1/orders=txt+https://***@txt.eu.example.com:8761/eureka/,http://a/',
  );
  const eureka = messages(eurekaAddressSchema);
  assert.match(eureka('dc1/a=txt+http://10.0.0.1/'), /name of a DNS TXT record.*not an address/);
  assert.match(eureka('dc1/a=txt+http://[::1]/'), /name of a DNS TXT record.*not an address/);
  assert.match(eureka('dc1/a=txt+ftp://a/'), /expected http/);
  assert.match(eureka('dc1/a=txt+http://a/?b'), /expected no query/);
});

test('a ZooKeeper ensemble is an id, its servers and perhaps a path', () => {
  assert.deepEqual(zooKeeperAddressSchema.parse('dc1/dubbo=h1:2181,h2,[::1]:2182/a/b/'), {
    registry: 'dc1/dubbo',
    servers: ['h1:2181', 'h2:2181', '[::1]:2182'],
    chroot: '/a/b',
  });
  assert.equal(zooKeeperAddressSchema.parse('dc1/dubbo=h').chroot, '');
  assert.equal(zooKeeperAddressSchema.parse('dc1/dubbo=h/').chroot, '');
});

test('mistakes are told with an example, and without passwords', () => {
  const eureka = messages(eurekaAddressSchema);
  const zookeeper = messages(zooKeeperAddressSchema);
  for (const wrong of ['', 'dc1/orders', 'dc1/orders=', '=http://a/', 3, undefined]) {
    assert.match(eureka(wrong), /^expected <datacenter>\/<name>=<address>.* like dc1\/orders=/);
  }
  assert.match(eureka('DC1/orders=http://a/'), /^expected <datacenter>\/<name>, each of lower/);
  assert.match(eureka('dc1/orders=a:8761'), /expected http:\/\/ or https:\/\//);
  assert.match(eureka('dc1/orders=//u:secret@a'), /expected a URL instead of "\/\/\*\*\*@a"/);
  assert.match(eureka('dc1/orders=ftp://u:secret@a/'), /^expected http.*"ftp:\/\/\*\*\*@a\/"$/);
  assert.match(eureka('dc1/orders=http://a/?x=1'), /expected no query/);
  assert.match(
    eureka('dc1/orders=http://u:sec%ret@a/'),
    /^expected percent-encoded credentials in "http:\/\/\*\*\*@a\/"$/,
  );
  assert.match(eureka('dc1/orders=http://a/,b,ftp://c'), / \| /, 'each server is checked');
  assert.match(zookeeper('dc1/dubbo=h1:x,h2:0'), /"h1:x".* \| .*"h2:0"/);
  assert.match(zookeeper('dc1/dubbo=h1/a//b'), /bad path "\/a\/\/b"/);
  assert.match(zookeeper('dc1/dubbo=h1/../b'), /bad path/);
});

test('addresses are printed as they were written, without passwords', () => {
  const eureka = eurekaAddressSchema.parse('dc1/orders=http://u:secret@a/e,http://b/');
  assert.equal(formatEurekaAddress(eureka), 'dc1/orders=http://***@a/e,http://b/');
  const zookeeper = zooKeeperAddressSchema.parse('dc1/dubbo=h1:2181,[::1]:1/x');
  assert.equal(formatZooKeeperAddress(zookeeper), 'dc1/dubbo=h1:2181,[::1]:1/x');
});
