import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { configurationText } from '../../../standalone/reference.ts';

test('CONFIGURATION.md says what the tables say', () => {
  const file = readFileSync(new URL('../../../CONFIGURATION.md', import.meta.url), 'utf8');
  assert.equal(file, configurationText(), 'run: npm run reference');
});
