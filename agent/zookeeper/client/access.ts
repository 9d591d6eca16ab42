import { readFile } from 'node:fs/promises';
import { TransientError, messageOf } from '../../../common/errors.ts';
import type { ZooKeeperAccess } from './tree.ts';

/** What one dial proves itself with. Secrets: never logged. */
export interface Credentials {
  /** `user:password` for the digest scheme. */
  readonly digest: string | undefined;
}

/** Reads the files, which may have been replaced since the last dial. Rejects with TransientError. */
export async function readCredentials(access: ZooKeeperAccess): Promise<Credentials> {
  return { digest: await readSecret(access.digestFile) };
}

async function readSecret(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new TransientError(`zookeeper: credential file ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
