import { hash } from 'node:crypto';

/**
 * Any text as one DNS label, so that different texts give different labels.
 *
 * A text of lower-case letters, digits and single dashes between them is its own label. Anything
 * else is cut into runs, alternately plain ones (as above, as long as possible) and others; the
 * others are written as the hexadecimal digits of their UTF-8 bytes, and all are joined by `--`,
 * which no plain run contains: `order_service` is `order--5f--service`, `outer$inner` is
 * `outer--24--inner`. A label that starts with another run starts with `x--`: `_a` is `x--5f--a`.
 * Since hexadecimal and plain runs alternate, the text can be read back. (A plain run `x` or `xn` in
 * front of another run is written in hexadecimal too: the first would be mistaken for the
 * beginning just named, the second for a punycode label.)
 *
 * The last hexadecimal run, which may be empty, can carry more, each by a letter that is no
 * hexadecimal digit: `u<mask>` says which letters of a case-sensitive text are capitals (a
 * hexadecimal number, one bit a letter, the first letter highest): `DEV` is `dev--u7`; a mark of one
 * letter tells generated labels apart from all others; `z<hash>` stands in a label that would
 * have been longer than allowed and was cut: this alone cannot be read back, but 96 bits of SHA-256 keep
 * it apart from any other.
 */
export interface LabelOptions {
  /** Write the first character in hexadecimal even if it is plain: for reserved words. */
  readonly isForced?: boolean;
  /** Capitals count. Otherwise the text is lower-cased first. */
  readonly isCaseSensitive?: boolean;
  /** `p`: a protocol, `t`: a tag. */
  readonly mark?: '' | 'p' | 't';
  /** Characters that the label may have at most, 63 by default, at least 40. */
  readonly lengthMax?: number;
}

const plain = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const hashDigits = 24;

/** Whether the text is its own label. */
export function isPlainLabel(text: string): boolean {
  return text.length <= 63 && plain.test(text);
}

/** The label of a text that is not empty. See the head of this file. */
export function encodeLabel(text: string, options: LabelOptions = {}): string {
  const { isForced = false, isCaseSensitive = false, mark = '', lengthMax = 63 } = options;
  const lower = isCaseSensitive
    ? text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
    : text.toLowerCase();
  const mask = isCaseSensitive ? capitals(text) : '';
  const isItself = !isForced && mask === '' && mark === '' && plain.test(lower);
  const label = isItself ? lower : joinRuns(cutRuns(lower, isForced), `${mask}${mark}`);
  if (label.length <= lengthMax) return label;
  return cutLabel(label, isCaseSensitive ? text : lower, { mark, lengthMax });
}

/**
 * A label of at most `lengthMax` characters that begins readably like `label` and is unique for
 * `text` by its hash.
 */
export function cutLabel(
  label: string,
  text: string,
  { mark = '', lengthMax = 63 }: LabelOptions = {},
): string {
  const ending = `--z${hash('sha256', text).slice(0, hashDigits)}${mark}`;
  const readable = label.replace(/[-.]+/g, '-').slice(0, lengthMax - ending.length);
  return `${readable.replace(/-+$/, '')}${ending}`;
}

/** Runs of a text, alternately plain and not; the first may be empty, then the text starts otherwise. */
function cutRuns(text: string, isForced: boolean): string[] {
  const runs: string[] = [];
  let end = isForced ? ((text.codePointAt(0) ?? 0) > 0xffff ? 2 : 1) : 0;
  let other = text.slice(0, end);
  const matcher = /[a-z0-9]+(?:-[a-z0-9]+)*/g;
  matcher.lastIndex = end;
  for (let match = matcher.exec(text); match !== null; match = matcher.exec(text)) {
    other += text.slice(end, match.index);
    if (runs.length === 0) runs.push('');
    if (other === '') runs[0] = match[0];
    else runs.push(other, match[0]);
    other = '';
    end = matcher.lastIndex;
  }
  other += text.slice(end);
  if (runs.length === 0) runs.push('');
  if (other !== '') runs.push(other);
  return runs;
}

function joinRuns(runs: readonly string[], ending: string): string {
  const [first = '', ...rest] = runs;
  const isMistakable = (first === 'x' || first === 'xn') && (rest.length > 0 || ending !== '');
  const parts = [isMistakable || first === '' ? 'x' : first];
  rest.forEach((run, index) => {
    const text = index === 0 && isMistakable ? first + run : run;
    parts.push(index % 2 === 0 ? Buffer.from(text).toString('hex') : text);
  });
  if (isMistakable && rest.length === 0) parts.push(Buffer.from(first).toString('hex'));
  if (ending !== '' && parts.length % 2 === 1) parts.push('');
  parts.push(`${parts.pop() ?? ''}${ending}`);
  return parts.join('--');
}

/** `u<mask>`, or empty when no letter is a capital. */
function capitals(text: string): string {
  const letters = text.replace(/[^A-Za-z]/g, '');
  if (!/[A-Z]/.test(letters)) return '';
  const bits = letters.replace(/[A-Z]/g, '1').replace(/[a-z]/g, '0');
  return `u${BigInt(`0b${bits}`).toString(16)}`;
}
