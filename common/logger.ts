import { pino } from 'pino';
import type { DestinationStream, Logger } from 'pino';
import { messageOf } from './errors.ts';
import { redactUserinfo } from './redact.ts';

/** What `--log-level` takes. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/**
 * A binary's logger: JSON lines on stdout with RFC 3339 times. Secrets are the business of whoever
 * logs; as a second net, fields that are named like one are removed and the user part of URLs is
 * replaced in messages and errors.
 */
export function createLogger(name: string, level: string, destination?: DestinationStream): Logger {
  const options = {
    name,
    level,
    base: { name },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: secretPaths, censor: '***' },
    serializers: {
      err: (error: unknown) => redactUserinfo(messageOf(error)),
      error: (error: unknown) => redactUserinfo(messageOf(error)),
    },
    hooks: {
      logMethod(this: Logger, args: unknown[], method: (...values: unknown[]) => void): void {
        method.apply(
          this,
          args.map((value) => (typeof value === 'string' ? redactUserinfo(value) : value)),
        );
      },
    },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

const secretNames = ['password', 'token', 'secret', 'authorization', 'digest', 'digestSecret'];
const secretPaths = secretNames.flatMap((secret) => [secret, `*.${secret}`]);
