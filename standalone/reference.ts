import { writeFileSync } from 'node:fs';
import { agentProgram } from '../agent/config.ts';
import { aggregatorProgram } from '../aggregator/config.ts';
import { configurationReference } from '../common/cli.ts';
import { standaloneProgram } from './config.ts';

/** The text of CONFIGURATION.md. */
export function configurationText(): string {
  return configurationReference([agentProgram, aggregatorProgram, standaloneProgram]);
}

/** `npm run reference` writes it. */
if (import.meta.main) writeFileSync('CONFIGURATION.md', configurationText());
