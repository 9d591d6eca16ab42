import { BadRegistration, isStatus } from './model.ts';
import type { DataCenterInfo, InstanceStatus, RegisteredPort, Registration } from './model.ts';

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

const textMembers = [
  'appGroupName',
  'homePageUrl',
  'statusPageUrl',
  'healthCheckUrl',
  'secureHealthCheckUrl',
  'vipAddress',
  'secureVipAddress',
  'asgName',
  'sid',
];

/**
 * Reads the body of `POST apps/{APP}`: what Netflix's and Spring's clients send, and the least that a server takes.
 * Throws BadRegistration, which names what is missing.
 *
 * @param path the application's name in the path of the request
 */
export function readRegistration(body: string, path: string, now: number): Registration {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (error) {
    throw new BadRegistration('the body is not JSON', { cause: error });
  }
  const value = isObject(json) && isObject(json.instance) ? json.instance : undefined;
  if (value === undefined) throw new BadRegistration('Missing instance');
  const required = (name: string): string => {
    const text = textOf(value[name]);
    if (text === '') throw new BadRegistration(`Missing ${name}`);
    return text;
  };
  const app = required('app').toUpperCase();
  if (app !== path.toUpperCase()) {
    throw new BadRegistration(`Mismatched appName, expecting ${path} but was ${app}`);
  }
  const lease = isObject(value.leaseInfo) ? value.leaseInfo : {};
  return {
    instanceId: textOf(value.instanceId) || undefined,
    hostName: required('hostName'),
    app,
    ipAddr: required('ipAddr'),
    status: toStatus(value.status, 'UP'),
    overriddenStatus: toStatus(value.overriddenStatus ?? value.overriddenstatus, 'UNKNOWN'),
    port: toPort(value.port, { number: 7001, enabled: true }),
    securePort: toPort(value.securePort, { number: 7002, enabled: false }),
    countryId: Number(textOf(value.countryId)) || 1,
    dataCenterInfo: toDataCenter(value.dataCenterInfo),
    renewalIntervalSecs: Number(textOf(lease.renewalIntervalInSecs)) || 30,
    durationSecs: Number(textOf(lease.durationInSecs)) || 90,
    metadata: toTexts(value.metadata),
    texts: pickTexts(value),
    lastDirtyTimestamp: Number(textOf(value.lastDirtyTimestamp)) || now,
  };
}

function toStatus(value: unknown, fallback: InstanceStatus): InstanceStatus {
  const text = textOf(value);
  if (text === '') return fallback;
  return isStatus(text) ? text : 'UNKNOWN';
}

function toPort(value: unknown, fallback: RegisteredPort): RegisteredPort {
  if (!isObject(value)) return fallback;
  return { number: Number(textOf(value.$)), enabled: textOf(value['@enabled']) === 'true' };
}

function toDataCenter(value: unknown): DataCenterInfo {
  const name = isObject(value) ? textOf(value.name) : '';
  if (!isObject(value) || name === '') throw new BadRegistration('Missing dataCenterInfo');
  return { className: textOf(value['@class']), name, metadata: toTexts(value.metadata) };
}

function toTexts(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== '@class' && key !== 'class')
      .map(([key, entry]) => [key, entry === null ? 'null' : textOf(entry)]),
  );
}

function pickTexts(value: JsonObject): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const name of textMembers) {
    const text = textOf(value[name]);
    if (text !== '' && !(name === 'sid' && text === 'na')) texts[name] = text;
  }
  return texts;
}

/** The id of a registration: its own, else Amazon's, else the host name. */
export function idOf(registration: Registration): string {
  const { instanceId, dataCenterInfo, hostName } = registration;
  return instanceId ?? dataCenterInfo.metadata['instance-id'] ?? hostName;
}
