import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file with this content, in the temporary folder of the test run, which takes it away. */
export function secretFile(content: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'tributary-secret-')), 'secret');
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}
