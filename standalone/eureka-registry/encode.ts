import type { Lease, RegisteredPort } from './model.ts';
import { vipOf } from './vip.ts';

/** The JSON codec of a server: today's default, or the one of old servers. */
export type Codec = 'jackson' | 'xstream';

/** What a list says. */
export interface Listing {
  readonly apps: readonly { readonly name: string; readonly leases: readonly Lease[] }[];
  readonly version: number;
  readonly hashcode: string;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * `{"applications":...}`, or `{"application":...}` when the key names one application, member by
 * member as Eureka's codecs write it. Compact bodies are the same with either codec.
 */
export function encodeApplications(
  listing: Listing,
  key: { readonly entity: string; readonly isCompact: boolean },
  codec: Codec,
): string {
  const isXStream = codec === 'xstream' && !key.isCompact;
  const application = listing.apps.map(({ name, leases }) => ({
    name,
    instance: lone(
      leases.map((lease) => encodeLease(lease, key.isCompact, codec)),
      isXStream,
    ),
  }));
  if (key.entity !== 'full' && key.entity !== 'delta' && vipOf(key.entity) === undefined) {
    return JSON.stringify({ application: application[0] });
  }
  const version = isXStream ? listing.version : String(listing.version);
  const head = { versions__delta: version, apps__hashcode: listing.hashcode };
  if (key.isCompact) {
    const registeredApplicationsEmpty = application.length === 0;
    return JSON.stringify({ applications: { application, registeredApplicationsEmpty, ...head } });
  }
  const list = lone(application, isXStream);
  return JSON.stringify({ applications: { ...head, application: list } });
}

/** `{"instance":...}` */
export function encodeInstance(lease: Lease, codec: Codec): string {
  return JSON.stringify({ instance: encodeLease(lease, false, codec) });
}

/** XStream writes a list of one as its element, and leaves an empty one out. */
function lone(list: readonly Json[], isXStream: boolean): unknown {
  if (!isXStream || list.length > 1) return list;
  return list[0];
}

function encodeLease(lease: Lease, isCompact: boolean, codec: Codec): Json {
  if (isCompact) return encodeCompact(lease);
  return codec === 'jackson' ? encodeJackson(lease) : encodeXStream(lease);
}

function port({ number, enabled }: RegisteredPort): Json {
  return { $: number, '@enabled': String(enabled) };
}

function portXStream({ number, enabled }: RegisteredPort): Json {
  return { '@enabled': enabled, $: String(number) };
}

function dataCenter(lease: Lease, keep: (key: string) => boolean = () => true): Json {
  const { className, name, metadata } = lease.registration.dataCenterInfo;
  const entries = Object.entries(metadata).filter(([key]) => keep(key));
  const own = entries.length === 0 ? {} : { metadata: Object.fromEntries(entries) };
  return { '@class': className, name, ...own };
}

function leaseInfo(lease: Lease): Json {
  return {
    renewalIntervalInSecs: lease.registration.renewalIntervalSecs,
    durationInSecs: lease.registration.durationSecs,
    registrationTimestamp: lease.registrationTimestamp,
    lastRenewalTimestamp: lease.lastRenewalTimestamp,
    evictionTimestamp: lease.evictionTimestamp,
    serviceUpTimestamp: lease.serviceUpTimestamp,
  };
}

const emptyMap: Json = { '@class': 'java.util.Collections$EmptyMap' };

function encodeJackson(lease: Lease): Json {
  const { registration } = lease;
  const { metadata } = registration;
  return {
    ...head(lease),
    overriddenStatus: lease.overriddenStatus,
    port: port(registration.port),
    securePort: port(registration.securePort),
    countryId: registration.countryId,
    dataCenterInfo: dataCenter(lease),
    leaseInfo: leaseInfo(lease),
    metadata: Object.keys(metadata).length === 0 ? emptyMap : metadata,
    ...registration.texts,
    isCoordinatingDiscoveryServer: 'false',
    lastUpdatedTimestamp: String(lease.lastUpdatedTimestamp),
    lastDirtyTimestamp: String(registration.lastDirtyTimestamp),
    actionType: lease.actionType,
  };
}

function encodeXStream(lease: Lease): Json {
  const { registration } = lease;
  const metadata = Object.entries(registration.metadata).map(([key, value]): [string, unknown] => [
    key.replaceAll('_', '__'),
    coerce(value),
  ]);
  return {
    ...head(lease),
    overriddenstatus: lease.overriddenStatus,
    port: portXStream(registration.port),
    securePort: portXStream(registration.securePort),
    countryId: registration.countryId,
    dataCenterInfo: dataCenter(lease),
    leaseInfo: leaseInfo(lease),
    metadata: metadata.length === 0 ? emptyMap : Object.fromEntries(metadata),
    ...registration.texts,
    isCoordinatingDiscoveryServer: false,
    lastUpdatedTimestamp: lease.lastUpdatedTimestamp,
    lastDirtyTimestamp: registration.lastDirtyTimestamp,
    actionType: lease.actionType,
  };
}

function head(lease: Lease): Json {
  const { registration } = lease;
  return {
    ...(registration.instanceId === undefined ? {} : { instanceId: registration.instanceId }),
    hostName: registration.hostName,
    app: registration.app,
    ipAddr: registration.ipAddr,
    status: lease.status,
  };
}

/** XStream's JSON writer makes numbers and booleans of what looks like them. */
function coerce(value: string): unknown {
  if (value === 'true' || value === 'false') return value === 'true';
  return /^(0|[1-9]\d{0,8})$/.test(value) ? Number(value) : value;
}

const compactAmazon = [
  'instance-id',
  'public-ipv4',
  'public-hostname',
  'local-ipv4',
  'availability-zone',
];

function encodeCompact(lease: Lease): Json {
  const { registration } = lease;
  const { instanceId, hostName, app, ipAddr, texts } = registration;
  const pick = (name: string): Json => (texts[name] === undefined ? {} : { [name]: texts[name] });
  return {
    ...(instanceId === undefined ? {} : { instanceId }),
    app,
    ipAddr,
    ...pick('vipAddress'),
    ...pick('secureVipAddress'),
    dataCenterInfo: dataCenter(lease, (key) => compactAmazon.includes(key)),
    hostName,
    status: lease.status,
    lastUpdatedTimestamp: lease.lastUpdatedTimestamp,
    actionType: lease.actionType,
    ...pick('asgName'),
    port: port(registration.port),
    securePort: port(registration.securePort),
  };
}
