import { isIP, isIPv6 } from 'node:net';
import { z } from 'zod';

/** Where something listens or is reached. An IPv6 host has no brackets here. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const hostName = /^(?=.{1,253}$)[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?(\.[a-zA-Z0-9_-]+)*\.?$/;

/** Reads `host:port`, an IPv6 host in brackets; undefined if it is none. Port 0 is any free one. */
export function parseHostPort(text: string, defaultPort?: number): HostPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text.trim());
  if (match === null) return undefined;
  const [, bracketed, plain, digits] = match;
  const host = bracketed ?? plain ?? '';
  if (bracketed === undefined ? !isHost(host) : !isIPv6(host)) return undefined;
  const port = digits === undefined ? defaultPort : Number(digits);
  return port === undefined || port > 65535 ? undefined : { host, port };
}

function isHost(text: string): boolean {
  const isDottedNumber = /^[\d.]+$/.test(text);
  return isDottedNumber ? isIP(text) === 4 : hostName.test(text);
}

/** `host:port`, with brackets around an IPv6 host. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether nobody outside this machine reaches what listens on this host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^(::ffff:)?127\./.test(host);
}

/** A listen address or a peer in configuration: `host:port`, IPv6 in brackets. */
export const hostPortSchema: z.ZodType<HostPort> = z.unknown().transform((value, context) => {
  const parsed = typeof value === 'string' ? parseHostPort(value) : undefined;
  if (parsed !== undefined) return parsed;
  context.addIssue({
    code: 'custom',
    message: 'expected host:port (an IPv6 host in brackets), like 127.0.0.1:9000 or [::1]:9000',
  });
  return z.NEVER;
});
