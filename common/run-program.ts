import type { Logger } from 'pino';
import { helpText } from './cli.ts';
import { loadConfiguration, printConfiguration } from './config.ts';
import type { Loaded, Program } from './config.ts';
import { ConfigurationError, messageOf } from './errors.ts';
import { ListenError } from './listening.ts';
import { createLogger } from './logger.ts';
import type { Options, Values } from './option.ts';
import { redactUserinfo } from './redact.ts';
import { stopOnSignals } from './stop.ts';
import { softwareVersion } from './version.ts';

/** How long a stop may take before the process ends the hard way. */
const stopDeadlineMs = 15_000;

/**
 * A binary from its start to its end: reads the configuration, runs until SIGTERM or SIGINT. Exit
 * status 0 after a clean stop, 1 on a defect or an address that cannot be listened on, 2 for a
 * mistake in the configuration.
 */
export async function runProgram<O extends Options>(
  program: Program<O>,
  run: (values: Values<O>, log: Logger, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const loaded = load(program);
  if (loaded === undefined) return;
  const level = loaded.values['logLevel'];
  const log = createLogger(program.name, typeof level === 'string' ? level : 'info');
  for (const warning of loaded.warnings) log.warn(warning);
  const stop = stopOnSignals({
    deadlineMs: stopDeadlineMs,
    onStop: (signal) => log.info({ signal }, 'stopping'),
    onForced: (why) => {
      log.error({ why }, 'ended the hard way');
      process.exit(1);
    },
  });
  try {
    log.info({ version: softwareVersion }, 'starting');
    await run(loaded.values, log, stop.signal);
    log.info('stopped');
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    log.fatal({ error: redactUserinfo(messageOf(error)) }, 'ended by an error');
    if (error instanceof ConfigurationError) complain(error);
    else if (!(error instanceof ListenError) && error instanceof Error)
      log.debug(error.stack ?? '');
  } finally {
    stop.release();
  }
}

function load<O extends Options>(
  program: Program<O>,
): Extract<Loaded<O>, { kind: 'values' }> | undefined {
  try {
    const loaded = loadConfiguration(program, {
      argv: process.argv.slice(2),
      env: process.env,
    });
    switch (loaded.kind) {
      case 'help':
        process.stdout.write(helpText(program));
        return undefined;
      case 'version':
        process.stdout.write(`${softwareVersion}\n`);
        return undefined;
      case 'values':
        if (!loaded.isPrintOnly) return loaded;
        process.stdout.write(printConfiguration(program, loaded.values));
        return undefined;
    }
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    complain(error);
    process.stderr.write(`${program.name} --help tells what can be set.\n`);
    process.exitCode = 2;
    return undefined;
  }
}

function complain(error: ConfigurationError): void {
  for (const problem of error.problems) process.stderr.write(`${redactUserinfo(problem)}\n`);
}

function exitCodeOf(error: unknown): number {
  return error instanceof ConfigurationError ? 2 : 1;
}
