import { hash } from 'node:crypto';
import { WireWriter } from '../proto/wire.ts';
import type { RenderedService, ServiceEntry, WorkloadEntry } from './service-entry.ts';
import type { Resource } from './store-types.ts';

/**
 * A rendered service as bytes: `DiscoveryResponse.resources` (field 2) with one Any of an MCP Resource, whose
 * body is an Any of the ServiceEntry. Written by hand because it is done ten thousand times in a row; equal
 * services give equal bytes. The version is a hash of the same bytes with zeros in its place.
 */
const typePrefix = 'type.googleapis.com/';
const versionDigits = 16;

const text = (field: number): number => (field << 3) | 2;
const varint = (field: number): number => field << 3;

const writer = new WireWriter();

/** Stands where the version will, which has the same length; no name before it contains such bytes. */
const placeholder = '\u0000'.repeat(versionDigits);

/** The resource as it is served. */
export function encodeResource(rendered: RenderedService): Resource {
  const field = encodeField(rendered);
  const version = hash('sha256', field).slice(0, versionDigits);
  field.write(version, field.indexOf(placeholder), 'latin1');
  return { name: rendered.metadata.name, version, field };
}

function encodeField({ metadata, entry }: RenderedService): Buffer {
  message(2, () => {
    writer.string(text(1), `${typePrefix}istio.mcp.v1alpha1.Resource`);
    message(2, () => {
      message(1, () => {
        writer.string(text(1), metadata.name);
        message(2, () => writer.uint32(varint(1), metadata.createTime));
        writer.string(text(3), placeholder);
        writeStrings(4, metadata.labels);
        writeStrings(5, metadata.annotations);
      });
      message(2, () => {
        writer.string(text(1), `${typePrefix}istio.networking.v1alpha3.ServiceEntry`);
        message(2, () => writeEntry(entry));
      });
    });
  });
  return writer.finish();
}

function writeEntry(entry: ServiceEntry): void {
  for (const host of entry.hosts) writer.string(text(1), host);
  for (const address of entry.addresses) writer.string(text(2), address);
  for (const port of entry.ports) {
    message(3, () => {
      writer.uint32(varint(1), port.number);
      writer.string(text(2), port.protocol);
      writer.string(text(3), port.name);
    });
  }
  writer.uint32(varint(4), entry.location);
  writer.uint32(varint(5), entry.resolution);
  for (const endpoint of entry.endpoints) {
    const start = writer.open(text(6));
    writeEndpoint(endpoint);
    writer.close(start);
  }
}

function writeEndpoint({ address, ports, labels, network, locality, weight }: WorkloadEntry): void {
  writer.string(text(1), address);
  for (const name of Object.keys(ports)) {
    const start = writer.open(text(2));
    writer.string(text(1), name);
    writer.uint32(varint(2), ports[name] ?? 0);
    writer.close(start);
  }
  if (labels !== undefined) writeStrings(3, labels);
  if (network !== undefined) writer.string(text(4), network);
  if (locality !== undefined) writer.string(text(5), locality);
  if (weight !== undefined) writer.uint32(varint(6), weight);
}

/** A map field, in the order of the object. */
function writeStrings(field: number, map: Readonly<Record<string, string>>): void {
  for (const key of Object.keys(map)) {
    const start = writer.open(text(field));
    writer.string(text(1), key);
    writer.string(text(2), map[key] ?? '');
    writer.close(start);
  }
}

function message(field: number, write: () => void): void {
  const start = writer.open(text(field));
  write();
  writer.close(start);
}
