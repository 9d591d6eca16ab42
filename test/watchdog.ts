/**
 * Loaded into every test file's process: one that does not end by itself once its tests have is a failure that names
 * what holds it open, instead of a run that never ends.
 */
import { after } from 'node:test';

const LINGER_MS = 10_000;

after(() => {
  setTimeout(() => {
    const held = process.getActiveResourcesInfo().join(', ');
    process.stderr.write(`the tests are over but something is still open: ${held}\n`);
    process.exit(1);
  }, LINGER_MS).unref();
});
