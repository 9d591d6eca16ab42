import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pino } from 'pino';
import { TransientError } from '../../../common/errors.ts';
import { WatchedFiles } from '../../../common/watched-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'tributary-watched-'));

after(() => {
  rmSync(folder, { recursive: true });
});

test('files are read when they change, and their trouble is told once, with what they are for', async () => {
  const paths = [join(folder, 'one'), join(folder, 'two')];
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) });
  let parsed = 0;
  const files = new WatchedFiles(
    paths,
    (contents) => {
      parsed += 1;
      const text = contents.join('+');
      if (text.includes('bad')) throw new Error('no good');
      return text;
    },
    'the cellar',
    log,
  );
  await assert.rejects(files.current(), TransientError);
  await assert.rejects(files.current(), /ENOENT/);
  for (const path of paths) writeFileSync(path, 'wine');
  assert.deepEqual(await files.current(), { value: 'wine+wine', problem: undefined });
  await Promise.all([files.current(), files.current()]);
  assert.equal(parsed, 1);
  writeFileSync(join(folder, 'two'), 'bad');
  assert.deepEqual(await files.current(), { value: 'wine+wine', problem: 'no good' });
  assert.deepEqual(await files.current(), { value: 'wine+wine', problem: 'no good' });
  const messages = lines.map((line) => (JSON.parse(line) as { readonly msg: string }).msg);
  assert.deepEqual(messages, [
    'files for the cellar cannot be used',
    'files for the cellar can be used again',
    'files for the cellar cannot be used',
  ]);
});
