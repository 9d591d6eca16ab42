/**
 * The few error classes of Tributary, by meaning. A message names the operation and the peer
 * (`eureka dc1/main: GET apps/delta: 503`), never a secret; `cause` carries what was caught.
 */

/** The operator must change something: a flag, a file, an environment variable. Exit status 2. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  /** One line a problem, each with its path: `registries[0].servers: expected ...`. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`configuration: ${problems.join('; ')}`);
    this.problems = problems;
  }
}

/** A peer broke the protocol: the stream or connection it came on ends, the rest goes on. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

/** The peer or the network failed in a way that may pass: try again after a delay. */
export class TransientError extends Error {
  override readonly name = 'TransientError';
}

/** The text of anything that was thrown, with the texts of its causes. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message === '' ? error.name : error.message;
  return error.cause === undefined ? own : `${own}: ${messageOf(error.cause)}`;
}
