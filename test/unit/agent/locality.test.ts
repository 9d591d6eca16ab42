import assert from 'node:assert/strict';
import { test } from 'node:test';
import { localityOf, regionOfZone } from '../../../agent/locality.ts';

test('the locality comes from the most explicit source', () => {
  const cases: readonly (readonly [Record<string, string>, string | undefined, string])[] = [
    [{}, undefined, ''],
    [{ 'istio.locality': 'r/z/s', region: 'x' }, undefined, 'r/z/s'],
    [{ 'istio.locality': 'r//s' }, undefined, 'r'],
    [{ 'istio.locality': '/z', region: 'x' }, undefined, 'x'],
    [{ 'istio.locality': 'a/b/c/d', region: 'x' }, undefined, 'x'],
    [{ region: 'r', zone: 'z', rack: '7' }, 'us-east-1c', 'r/z/7'],
    [{ region: 'r', subzone: 's' }, undefined, 'r'],
    [{ zone: 'z' }, 'us-east-1c', 'us-east-1/us-east-1c'],
    [{}, 'us-east-1c', 'us-east-1/us-east-1c'],
    [{ zone: 'az 1', subzone: 's', rack: '7' }, undefined, 'r1/az 1/s'],
    [{ zone: 'eu-west-1a' }, undefined, 'eu-west-1/eu-west-1a'],
    [{ zone: 'eu-west-1a' }, 'nowhere', 'eu-west-1/eu-west-1a'],
    [{ zone: 'x' }, 'us-west-2-lax-1a', 'us-west-2/us-west-2-lax-1a'],
    [{ 'istio.locality': ' r / z ' }, undefined, 'r/z'],
    [{ zone: 'basement' }, undefined, ''],
    [{ zone: 'null', region: ' ' }, undefined, ''],
    [{ zone: 'a/b' }, undefined, ''],
    [{ zone: 'constructor' }, undefined, ''],
    [{ region: 'r'.repeat(81), zone: 'az 1' }, undefined, 'r1/az 1'],
  ];
  for (const [metadata, zone, expected] of cases) {
    const text = localityOf(new Map(Object.entries(metadata)), { 'az 1': 'r1' }, zone);
    assert.equal(text, expected, JSON.stringify(metadata));
  }
});

test('the region shows in the names of cloud zones only', () => {
  const zones = {
    'eu-west-1a': 'eu-west-1',
    'us-gov-west-1b': 'us-gov-west-1',
    'us-west-2-lax-1a': 'us-west-2',
    'ap-southeast-2c': 'ap-southeast-2',
    'europe-west4-b': 'europe-west4',
    'us-east-1-wl1-bos-wlz-1': 'us-east-1',
    'eusc-de-east-1a': 'eusc-de-east-1',
    'northamerica-northeast1-a': 'northamerica-northeast1',
    'uksouth-1': 'uksouth',
    'germanywestcentral-3': 'germanywestcentral',
    'east-1': undefined,
    'central2-1': undefined,
    'westeurope-2': 'westeurope',
    'eastus2-1': 'eastus2',
    az1: undefined,
    'zone-1': undefined,
    defaultZone: undefined,
    'eu-west-1': undefined,
    rack_17: undefined,
  };
  for (const [zone, region] of Object.entries(zones))
    assert.equal(regionOfZone(zone), region, zone);
});
