import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../rigs/ports.ts';
import { startZooKeeper } from '../rigs/zookeeper.ts';
import type { ZooKeeperRig } from '../rigs/zookeeper.ts';
import type { ZooKeeperVersion } from '../rigs/modules.ts';
import type { CertificateFiles } from './certificates.ts';

/** A real server that has a TLS port beside its plain one, SASL users, or both. */
export interface SecureZooKeeper extends ZooKeeperRig {
  /** 0 without TLS. */
  readonly securePort: number;
  /** The file of the server's certificate and key, read when it starts. */
  readonly keyStore: string;
}

/** How it is set up. */
export interface SecureOptions {
  readonly version?: ZooKeeperVersion;
  readonly tls?: {
    /** Whose clients are let in. */
    readonly authority: CertificateFiles;
    readonly server: CertificateFiles;
    /** `need` by default. */
    readonly clientAuth?: 'need' | 'none';
  };
  /** DIGEST-MD5 passwords by user. */
  readonly users?: Readonly<Record<string, string>>;
  /** Whether a session without SASL is turned away. */
  readonly isSaslEnforced?: boolean;
}

/** Starts one server; its files go with it. */
export async function startSecureZooKeeper(options: SecureOptions): Promise<SecureZooKeeper> {
  const { version, tls, users, isSaslEnforced } = options;
  const folder = mkdtempSync(join(tmpdir(), 'tributary-secure-zookeeper-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  const [securePort = 0] = tls === undefined ? [] : await freePorts(1);
  const keyStore = join(folder, 'server.pem');
  if (tls !== undefined) writeFileSync(keyStore, Buffer.concat([tls.server.key, tls.server.cert]));
  const jaas = join(folder, 'jaas.conf');
  writeFileSync(jaas, jaasOf(users ?? {}));
  const tlsConfig =
    tls === undefined
      ? {}
      : {
          secureClientPort: securePort,
          secureClientPortAddress: '127.0.0.1',
          serverCnxnFactory: 'org.apache.zookeeper.server.NettyServerCnxnFactory',
          'ssl.keyStore.location': keyStore,
          'ssl.keyStore.type': 'PEM',
          'ssl.trustStore.location': tls.authority.certFile,
          'ssl.trustStore.type': 'PEM',
          'ssl.clientAuth': tls.clientAuth ?? 'need',
        };
  const saslConfig =
    users === undefined
      ? {}
      : { 'authProvider.1': 'org.apache.zookeeper.server.auth.SASLAuthenticationProvider' };
  const enforcing =
    isSaslEnforced === true
      ? { 'enforce.auth.enabled': 'true', 'enforce.auth.schemes': 'sasl' }
      : {};
  try {
    const rig = await startZooKeeper({
      ...(version === undefined ? {} : { version }),
      extraConfig: { ...tlsConfig, ...saslConfig, ...enforcing },
      jvm: [
        ...(users === undefined ? [] : [`-Djava.security.auth.login.config=${jaas}`]),
        // What the servers before 3.7 know of it.
        ...(isSaslEnforced === true ? ['-Dzookeeper.sessionRequireClientSASLAuth=true'] : []),
      ],
    });
    return {
      ...rig,
      securePort,
      keyStore,
      [Symbol.asyncDispose]: async () => {
        await rig[Symbol.asyncDispose]();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}

function jaasOf(users: Readonly<Record<string, string>>): string {
  const lines = Object.entries(users).map(([user, password]) => `    user_${user}="${password}"`);
  const module = '    org.apache.zookeeper.server.auth.DigestLoginModule required';
  return `Server {\n${[module, ...lines].join('\n')};\n};\n`;
}
