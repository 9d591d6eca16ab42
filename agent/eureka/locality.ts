import type { EurekaRecord } from './record.ts';

const awsZone = /^([a-z]{2}(?:-[a-z]+)+-\d+)(?:[a-z]|-[a-z]+-\d+[a-z])$/;
const gcpZone = /^([a-z]+-[a-z]+\d+)-[a-z]$/;
const azureZone = /^([a-z]*(?:east|west|north|south|central)[a-z]*\d?)-[1-9]$/;

/**
 * The region of a zone whose name shows its cloud: AWS (`eu-west-1a`, local zones
 * `us-west-2-lax-1a`), Google (`europe-west4-b`), Azure (`westeurope-2`). Undefined for others.
 */
export function regionOfZone(zone: string): string | undefined {
  return (awsZone.exec(zone) ?? gcpZone.exec(zone) ?? azureZone.exec(zone))?.[1];
}

/**
 * `region/zone/subzone` of a record, or empty. In this order: metadata `istio.locality`; metadata
 * `region` with `zone` and `subzone` or `rack`; Amazon's availability zone; metadata `zone` alone
 * with the region of the configured map, or else the one its name shows. A zone of
 * unknown region is left out, since a locality is positional.
 *
 * @param zones zone -> region, from the configuration
 */
export function localityOf(record: EurekaRecord, zones: Readonly<Record<string, string>>): string {
  const explicit = explicitLocality(record.metadata.get('istio.locality') ?? '');
  if (explicit !== '') return explicit;
  const zone = part(record.metadata.get('zone'));
  const region = part(record.metadata.get('region'));
  const subzone = part(record.metadata.get('subzone')) || part(record.metadata.get('rack'));
  if (region !== '') return join(region, zone, subzone);
  const amazon = part(record.dataCenter.get('availability-zone'));
  if (amazon !== '') return inRegion(amazon, subzone, zones);
  return zone === '' ? '' : inRegion(zone, subzone, zones);
}

function inRegion(zone: string, subzone: string, zones: Readonly<Record<string, string>>): string {
  const configured = Object.hasOwn(zones, zone) ? part(zones[zone]) : '';
  const region = configured || (regionOfZone(zone) ?? '');
  return region === '' ? '' : join(region, zone, subzone);
}

function join(region: string, zone: string, subzone: string): string {
  if (zone === '') return region;
  return subzone === '' ? `${region}/${zone}` : `${region}/${zone}/${subzone}`;
}

/** One part of a locality; a slash would move the other parts, and Java writes null as text. */
function part(value: string | undefined): string {
  const text = value?.trim() ?? '';
  return text.includes('/') || text === 'null' ? '' : text;
}

function explicitLocality(value: string): string {
  const [region = '', zone = '', subzone = '', ...rest] = value.trim().split('/');
  if (rest.length > 0 || part(region) === '') return '';
  return join(part(region), part(zone), part(subzone));
}
