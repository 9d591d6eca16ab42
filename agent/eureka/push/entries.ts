import { ProtocolError } from '../../../common/errors.ts';
import { textOf } from '../json-slices.ts';

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** So many bytes are looked at in a fraction of a millisecond. */
const stepBytes = 65_536;

/**
 * Cuts `{"replicationList":[...]}` into its entries without parsing them: each comes out as the bytes of one JSON value,
 * so that a broken one costs the others nothing, and a large batch can be read with pauses. Undefined
 * comes out where a long value goes on: a moment to pause, nothing else.
 *
 * A lone object in the place of the list (XStream's way) is one entry, `null` none. Throws ProtocolError for what is no
 * such batch, be it only at its end.
 */
export function* entriesOf(body: Buffer): Generator<Buffer | undefined, void> {
  const scan = new Scan(body);
  let hasList = false;
  scan.expect(openBrace);
  if (!scan.skip(closeBrace)) {
    do {
      const name = yield* scan.value();
      scan.expect(colon);
      if (isList(name)) {
        yield* listEntries(scan);
        hasList = true;
      } else yield* scan.value();
    } while (scan.skip(comma));
    scan.expect(closeBrace);
  }
  if (!scan.isAtEnd || !hasList) throw new ProtocolError('the body is no batch');
}

function isList(name: Buffer): boolean {
  return name.length < 100 && textOf(name.toString()) === 'replicationList';
}

function* listEntries(scan: Scan): Generator<Buffer | undefined, void> {
  if (scan.skip(openBracket)) {
    if (scan.skip(closeBracket)) return;
    do yield yield* scan.value();
    while (scan.skip(comma));
    scan.expect(closeBracket);
    return;
  }
  const lone = yield* scan.value();
  if (lone[0] === openBrace) yield lone;
  else if (lone.toString() !== 'null') throw new ProtocolError('the list of the batch is none');
}

/** A position in a JSON text, moved on value by value. */
class Scan {
  private readonly body: Buffer;
  private at: number;

  constructor(body: Buffer) {
    this.body = body;
    const hasByteOrderMark = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf;
    this.at = hasByteOrderMark ? 3 : 0;
  }

  /** Whether only space is left. */
  get isAtEnd(): boolean {
    return this.next() === undefined;
  }

  /** Goes over this byte if it comes next; says whether it did. */
  skip(byte: number): boolean {
    const isNext = this.next() === byte;
    if (isNext) this.at += 1;
    return isNext;
  }

  expect(byte: number): void {
    if (!this.skip(byte)) throw new ProtocolError('the body is not JSON');
  }

  /** The bytes of the value that comes next. */
  *value(): Generator<undefined, Buffer> {
    const first = this.next();
    const from = this.at;
    if (first === quote || first === openBrace || first === openBracket) {
      const walk = { depth: 0, inText: false };
      while (!this.walk(walk)) yield undefined;
    } else this.literal();
    if (this.at === from) throw new ProtocolError('the body is not JSON');
    return this.body.subarray(from, this.at);
  }

  /** Goes to the end of a text, an object or a list, at most one step; says whether it got there. */
  private walk(walk: { depth: number; inText: boolean }): boolean {
    const { body } = this;
    let { depth, inText } = walk;
    let { at } = this;
    const stop = Math.min(body.length, at + stepBytes);
    let isDone = false;
    while (at < stop && !isDone) {
      const byte = body[at] ?? 0;
      at += 1;
      if (inText) {
        if (byte === backslash) at += 1;
        else if (byte === quote) {
          inText = false;
          isDone = depth === 0;
        }
      } else if (byte === quote) inText = true;
      else if (byte === openBrace || byte === openBracket) depth += 1;
      else if (byte === closeBrace || byte === closeBracket) {
        depth -= 1;
        isDone = depth === 0;
      }
    }
    if (!isDone && at >= body.length) throw new ProtocolError('the body ends in the middle');
    this.at = at;
    walk.depth = depth;
    walk.inText = inText;
    return isDone;
  }

  private literal(): void {
    // The longest literal is a number; what is longer is none, and fails at what should follow it.
    const stop = Math.min(this.body.length, this.at + 100);
    while (this.at < stop && !endsLiteral(this.body[this.at] ?? 0)) this.at += 1;
  }

  private next(): number | undefined {
    while (isSpace(this.body[this.at] ?? 0)) this.at += 1;
    return this.body[this.at];
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function endsLiteral(byte: number): boolean {
  return (
    byte === comma ||
    byte === colon ||
    byte === closeBrace ||
    byte === closeBracket ||
    isSpace(byte)
  );
}
