import { agentProgram } from '../agent/config.ts';
import { aggregatorProgram } from '../aggregator/config.ts';
import { configurationReference } from '../common/cli.ts';
import { standaloneProgram } from './config.ts';

/** Prints CONFIGURATION.md: `node standalone/reference.ts > CONFIGURATION.md`. */
process.stdout.write(configurationReference([agentProgram, aggregatorProgram, standaloneProgram]));
