/**
 * Loaded into every test file's process, before the file: what one process has compiled, the others need not. Not when
 * coverage is measured, which needs every function compiled anew.
 */
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

if (process.env['NODE_V8_COVERAGE'] === undefined) {
  enableCompileCache(join(import.meta.dirname, '..', '.cache', 'compiled'));
}
