import { isIP } from 'node:net';
import { z } from 'zod';
import { formatHostPort, parseHostPort } from './address.ts';
import { redactAddress, redactUserinfo } from './redact.ts';
import { isRegistryId } from './registry.ts';
import type { RegistryId } from './registry.ts';

/**
 * The one grammar that names a registry and where it is: `<registry id>=<address>[,<address>...]`.
 */

/** An Eureka cluster. */
export interface EurekaAddress {
  readonly registry: RegistryId;
  /**
   * Base URLs, and `txt+http://...` and `txt+https://...` ones whose host is a DNS TXT record that lists servers. May
   * hold user and password, so they are secrets.
   */
  readonly servers: readonly string[];
}

/** A ZooKeeper ensemble. */
export interface ZooKeeperAddress {
  readonly registry: RegistryId;
  /** `host:port` each, IPv6 in brackets. */
  readonly servers: readonly string[];
  /** `/a/b`, or empty. */
  readonly chroot: string;
}

const example = {
  eureka: 'dc1/orders=http://eureka:8761/eureka/',
  zookeeper: 'dc1/dubbo=zk1:2181,zk2:2181',
};

/** `dc1/orders=http://h1:8761/eureka/,http://h2:8761/eureka/` */
export const eurekaAddressSchema: z.ZodType<EurekaAddress> = z
  .unknown()
  .transform((value, context) => {
    const parts = split(value, example.eureka, context);
    if (parts === undefined) return z.NEVER;
    for (const server of parts.addresses) {
      const problem = whyNoEurekaUrl(server);
      if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
    }
    return { registry: parts.registry, servers: parts.addresses };
  });

function whyNoEurekaUrl(text: string): string | undefined {
  const shown = JSON.stringify(redactAddress(text));
  // With the scheme that servers are asked by: of an unknown one, nothing behind it is checked.
  const url = URL.parse(text.replace(txtPrefix, ''));
  if (url === null) return `expected a URL instead of ${shown}, like ${example.eureka}`;
  const { protocol, search, hash, hostname, username, password } = url;
  if (protocol !== 'http:' && protocol !== 'https:')
    return `expected http:// or https:// in ${shown}`;
  if (search !== '' || hash !== '') return `expected no query and no fragment in ${shown}`;
  if (txtPrefix.test(text) && isIP(hostname.replaceAll(/[[\]]/g, '')) !== 0)
    return `expected the name of a DNS TXT record in ${shown}, not an address`;
  if (!isDecodable(username) || !isDecodable(password))
    return `expected percent-encoded credentials in ${shown}`;
  return undefined;
}

const txtPrefix = /^txt\+/i;

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    // A stray %: the caller says so.
    return false;
  }
}

/** `dc1/dubbo=h1:2181,h2:2181/chroot`; the port may be left out. */
export const zooKeeperAddressSchema: z.ZodType<ZooKeeperAddress> = z
  .unknown()
  .transform((value, context) => {
    const parts = split(value, example.zookeeper, context);
    if (parts === undefined) return z.NEVER;
    const last = parts.addresses.at(-1) ?? '';
    const slash = last.indexOf('/');
    const chroot = slash === -1 ? '' : last.slice(slash).replace(/\/$/, '');
    const texts = [...parts.addresses.slice(0, -1), slash === -1 ? last : last.slice(0, slash)];
    const servers: string[] = [];
    for (const text of texts) {
      const parsed = parseHostPort(text, 2181);
      if (parsed === undefined || parsed.port === 0) {
        // A password may have a comma in it.
        const isSecret = texts.some((one) => one.includes('@'));
        const shown = isSecret ? 'user and password' : JSON.stringify(text);
        const message = `expected host:port instead of ${shown}, like ${example.zookeeper}`;
        context.addIssue({ code: 'custom', message });
      } else servers.push(formatHostPort(parsed));
    }
    if (/\/(\/|\.{1,2}(\/|$))/.test(chroot)) {
      context.addIssue({
        code: 'custom',
        message: `bad path ${JSON.stringify(chroot)} after the servers`,
      });
    }
    return { registry: parts.registry, servers, chroot };
  });

function split(
  value: unknown,
  wanted: string,
  context: z.core.$RefinementCtx,
): { readonly registry: RegistryId; readonly addresses: readonly string[] } | undefined {
  const text = typeof value === 'string' ? value.trim() : '';
  const equals = text.indexOf('=');
  const registry = text.slice(0, Math.max(0, equals));
  const addresses = text
    .slice(equals + 1)
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '');
  if (equals > 0 && isRegistryId(registry) && addresses.length > 0) return { registry, addresses };
  const isIdWrong = equals > 0 && !isRegistryId(registry);
  context.addIssue({
    code: 'custom',
    message: isIdWrong
      ? `expected <datacenter>/<name>, each of lower-case letters, digits and dashes, before "=", like ${wanted}`
      : `expected <datacenter>/<name>=<address>[,<address>...], like ${wanted}`,
  });
  return undefined;
}

/** As it was written, passwords replaced. */
export function formatEurekaAddress({ registry, servers }: EurekaAddress): string {
  return `${registry}=${servers.map(redactUserinfo).join(',')}`;
}

/** As it was written. */
export function formatZooKeeperAddress({ registry, servers, chroot }: ZooKeeperAddress): string {
  return `${registry}=${servers.join(',')}${chroot}`;
}
