const awsZone = /^([a-z]{2,4}(?:-[a-z]+)+-\d+)(?:[a-z]|-[a-z]+-\d+[a-z]|-wl\d+-[a-z]+-wlz-\d+)$/;
const gcpZone = /^([a-z]+-[a-z]+\d+)-[a-z]$/;
/** No Azure region is a point of the compass alone. */
const azureZone =
  /^(?!(?:east|west|north|south|central)\d?-)([a-z]*(?:east|west|north|south|central)[a-z]*\d?)-[1-9]$/;
/** Bytes of UTF-8. Longer ones are no names of places, and three of them would break the limit of the feed. */
const partBytesMax = 80;

/**
 * The region of a zone whose name shows its cloud: AWS (`eu-west-1a`, local zones
 * `us-west-2-lax-1a`, wavelength zones `us-east-1-wl1-bos-wlz-1`), Google (`europe-west4-b`), Azure
 * (`westeurope-2`). Undefined for others.
 */
export function regionOfZone(zone: string): string | undefined {
  return (awsZone.exec(zone) ?? gcpZone.exec(zone) ?? azureZone.exec(zone))?.[1];
}

/**
 * `region/zone/subzone` of an instance, or empty. In this order: metadata `istio.locality`; metadata
 * `region` with `zone` and `subzone` or `rack`; Amazon's availability zone; metadata `zone` alone
 * with the region of the configured map, or else the one its name shows. A zone of
 * unknown region is left out, since a locality is positional.
 *
 * @param zones zone -> region, from the configuration
 * @param availabilityZone as Amazon says it
 */
export function localityOf(
  metadata: ReadonlyMap<string, string>,
  zones: Readonly<Record<string, string>>,
  availabilityZone?: string,
): string {
  if (metadata.size === 0 && availabilityZone === undefined) return '';
  const explicit = explicitLocality(metadata.get('istio.locality') ?? '');
  if (explicit !== '') return explicit;
  const zone = part(metadata.get('zone'));
  const region = part(metadata.get('region'));
  const subzone = part(metadata.get('subzone')) || part(metadata.get('rack'));
  if (region !== '') return join(region, zone, subzone);
  const amazon = part(availabilityZone);
  return inRegion(amazon, subzone, zones) || inRegion(zone, subzone, zones);
}

function inRegion(zone: string, subzone: string, zones: Readonly<Record<string, string>>): string {
  if (zone === '') return '';
  const configured = Object.hasOwn(zones, zone) ? part(zones[zone]) : '';
  const region = configured || (regionOfZone(zone) ?? '');
  return region === '' ? '' : join(region, zone, subzone);
}

function join(region: string, zone: string, subzone: string): string {
  if (zone === '') return region;
  return subzone === '' ? `${region}/${zone}` : `${region}/${zone}/${subzone}`;
}

/** One part of a locality, or empty; a slash would move the other parts, and Java writes null as text. */
function part(value: string | undefined): string {
  const text = value?.trim() ?? '';
  if (text === '' || text === 'null' || text.includes('/')) return '';
  return text.length * 3 > partBytesMax && Buffer.byteLength(text) > partBytesMax ? '' : text;
}

function explicitLocality(value: string): string {
  const [region = '', zone = '', subzone = '', ...rest] = value.trim().split('/');
  if (rest.length > 0 || part(region) === '') return '';
  return join(part(region), part(zone), part(subzone));
}
