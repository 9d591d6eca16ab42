import type { Program } from './config.ts';
import { environmentNameOf, fileKeyOf, flagOf } from './option-names.ts';
import type { Option, Options } from './option.ts';

const general = [
  ['--config FILE', 'YAML file with any of the options below (TRIBUTARY_CONFIG)'],
  ['--print-config', 'print the effective configuration, secrets replaced, and exit'],
  ['--version', 'print the version and exit'],
  ['-h, --help', 'print this and exit'],
] as const;

/** The text of `--help`: every flag with its default, environment name and description. */
export function helpText<O extends Options>(program: Program<O>): string {
  const lines = [program.summary, '', `Usage: ${program.name} [FLAG ...]`, ''];
  for (const example of program.examples) lines.push(`  ${example}`);
  lines.push(
    '',
    'Each option can be given as a flag, as an environment variable or in a YAML file',
    '(--config); flags win over the environment, the environment over the file.',
    'Durations are written like 150ms, 5s, 10m or 2h; addresses like 127.0.0.1:9000 or [::1]:9000.',
    '',
    'General',
  );
  for (const [flag, description] of general) lines.push(...entry(flag, [description]));
  for (const [group, rows] of groupsOf(program.options)) {
    lines.push('', group);
    for (const [key, row] of rows) lines.push(...entry(headOf(key, row), detailsOf(key, row)));
  }
  return `${lines.join('\n')}\n`;
}

function entry(head: string, details: readonly string[]): string[] {
  return [
    `  ${head}`,
    ...details.flatMap((detail) => wrap(detail, 84)).map((line) => `        ${line}`),
  ];
}

function headOf(key: string, row: Option<unknown>): string {
  if (row.shape === 'structure') return `${fileKeyOf(key)}:  (in the file only)`;
  return row.placeholder === '' ? flagOf(key) : `${flagOf(key)} ${row.placeholder}`;
}

function detailsOf(key: string, row: Option<unknown>): string[] {
  const unit = row.unit === '' ? '' : ` ${row.unit}`;
  const isRequired = row.requiredText !== undefined;
  const fallback = isRequired
    ? 'required'
    : row.fallbackText === ''
      ? ''
      : `default ${row.fallbackText}${unit}`;
  const environment = row.shape === 'structure' ? '' : environmentNameOf(key);
  const notes = [fallback, environment].filter((note) => note !== '').join('; ');
  return notes === '' ? [row.description] : [row.description, `(${notes})`];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function groupsOf(options: Options): ReadonlyMap<string, readonly [string, Option<unknown>][]> {
  const groups = new Map<string, [string, Option<unknown>][]>();
  for (const pair of Object.entries(options)) {
    const rows = groups.get(pair[1].group) ?? [];
    rows.push(pair);
    groups.set(pair[1].group, rows);
  }
  return groups;
}

/** The same as markdown tables, one section a program: the reference of the documentation. */
export function configurationReference(programs: readonly Program<Options>[]): string {
  const lines = [
    '# Configuration',
    '',
    'Generated from the tables in the code (`npm run reference`); a test keeps it current.',
    '',
    'Each option can be given as a flag (`--mcp-listen`), as an environment variable (`TRIBUTARY_MCP_LISTEN`) or as a key',
    'of the YAML file that `--config` names (`mcp_listen`). Flags win over the environment, the environment over the file.',
    'Durations are written like `150ms`, `5s`, `10m` or `2h`; addresses like `127.0.0.1:9000` or `[::1]:9000`; lists with',
    'commas, or as a list in the file. Every mistake is reported at once, and the exit status is 2.',
    '`--print-config` prints the effective configuration with secrets replaced.',
  ];
  for (const program of programs) {
    lines.push('', `## ${program.name}`, '', program.summary);
    for (const [group, rows] of groupsOf(program.options)) {
      lines.push('', `### ${group}`, '', '| option | default | description |', '|---|---|---|');
      for (const [key, row] of rows) lines.push(tableRow(key, row));
    }
  }
  return `${lines.join('\n')}\n`;
}

function tableRow(key: string, row: Option<unknown>): string {
  const name =
    row.shape === 'structure' ? `\`${fileKeyOf(key)}:\` (file only)` : `\`${headOf(key, row)}\``;
  const unit = row.unit === '' ? '' : ` ${row.unit}`;
  const fallback =
    row.requiredText !== undefined
      ? 'required'
      : row.fallbackText === ''
        ? ''
        : `\`${row.fallbackText}\`${unit}`;
  return `| ${[name, fallback, row.description].map((cell) => cell.replaceAll('|', '\\|').replaceAll('<', '&lt;')).join(' | ')} |`;
}
