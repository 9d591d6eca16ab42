import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { credentials, Metadata } from '@grpc/grpc-js';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { ConfigurationError, TransientError } from '../common/errors.ts';

/** How the agent proves who it is, and checks who the aggregator is. Files are read for each stream. */
export interface FeedAccess {
  /** Without it the feed is plaintext. */
  readonly tls?: {
    /** PEM of the authorities that sign aggregators; the system's when absent. */
    readonly caFile?: string;
    /** PEM of the client certificate and its key: both or none. */
    readonly certFile?: string;
    readonly keyFile?: string;
    /** The name that the aggregator's certificate must have; default: its configured host name. */
    readonly serverName?: string;
  };
  /** A file with a bearer token. */
  readonly tokenFile?: string;
  /** Allows the token to travel over plaintext. */
  readonly insecure?: boolean;
}

/** What one stream needs. */
export interface DialCredentials {
  readonly channel: ChannelCredentials;
  readonly metadata: Metadata;
  /** Channel options that go with it. */
  readonly options: Readonly<Record<string, string>>;
}

/** Throws ConfigurationError on what can never work or would expose the token. */
export function checkFeedAccess(access: FeedAccess): void {
  const problems: string[] = [];
  if (access.tokenFile !== undefined && access.tls === undefined && access.insecure !== true) {
    problems.push('a feed token would travel in plain text: configure TLS, or allow it explicitly');
  }
  if ((access.tls?.certFile === undefined) !== (access.tls?.keyFile === undefined)) {
    problems.push('feed TLS: a client certificate needs its key, and a key its certificate');
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
}

/**
 * Reads the files. `host` is what the operator wrote, by which a TLS server is checked, whatever address it
 * resolved to. Rejects with TransientError: files are replaced while we run.
 */
export async function loadDialCredentials(
  access: FeedAccess,
  host: string,
): Promise<DialCredentials> {
  const metadata = new Metadata();
  if (access.tokenFile !== undefined) {
    const token = (await read(access.tokenFile))?.toString('utf8').trim() ?? '';
    if (!/^[\x21-\x7e]{1,4096}$/.test(token)) {
      throw new TransientError(`${access.tokenFile}: holds no token (one line of visible ASCII)`);
    }
    metadata.set('authorization', `Bearer ${token}`);
  }
  if (access.tls === undefined)
    return { channel: credentials.createInsecure(), metadata, options: {} };
  const { caFile, certFile, keyFile, serverName } = access.tls;
  const [ca, key, cert] = await Promise.all([read(caFile), read(keyFile), read(certFile)]);
  const name = serverName ?? (isIP(host) === 0 ? host : undefined);
  const options: Record<string, string> = {};
  if (name !== undefined) {
    options['grpc.ssl_target_name_override'] = name;
    options['grpc.default_authority'] = name;
  }
  try {
    return {
      channel: credentials.createSsl(ca, key, cert),
      metadata,
      options,
    };
  } catch (error) {
    throw new TransientError('feed TLS: the files hold no usable certificates', { cause: error });
  }
}

async function read(file: string | undefined): Promise<Buffer | null> {
  if (file === undefined) return null;
  try {
    return await readFile(file);
  } catch (error) {
    throw new TransientError(`cannot read ${file}`, { cause: error });
  }
}
