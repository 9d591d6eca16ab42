import { ProtocolError } from '../../common/errors.ts';

/**
 * Cuts the body of `apps` or `apps/delta` into records without ever holding it whole: bytes go in
 * as they come out of the inflater, each instance comes out as one JSON text. A registry of
 * 100,000 instances is a body of 100 MB, and one `JSON.parse` of that would hold the
 * event loop for a second and the memory for twice its size.
 *
 * The cutter knows where it is only by the names of the members on the way down
 * (`applications` / `application` / `instance`); arrays are transparent, so a lone object in the
 * place of an array of one (the XStream codec) reads the same. What it does not know it skips.
 */
export interface SliceHandler {
  /** A scalar member of `applications`: the text as it stands, quotes included. */
  head(name: string, json: string): void;
  /** One element of `instance`, in the order of the body. `json` is cut short when `tooLarge`. */
  instance(json: string, application: string, tooLarge: boolean): void;
}

interface Frame {
  readonly isArray: boolean;
  /** How many members of the wanted path lead here. */
  readonly level: number;
  /** The member whose value comes next; arrays hand down the name under which they stand. */
  name: string;
}

const path = ['applications', 'application', 'instance'] as const;
const depthMax = 32;
const nameBytesMax = 1024;

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const colon = 0x3a;
const comma = 0x2c;

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function isStructure(byte: number): boolean {
  return byte === comma || byte === closeBrace || byte === closeBracket;
}

/** The kind of value that is being captured or skipped. */
type Value = 'none' | 'container' | 'text' | 'literal';

/** What to do with the value that starts. */
type Use = 'skip' | 'name' | 'head' | 'application' | 'instance';

/** A push parser: `write` for each piece, then `end`. Not reusable. */
export class JsonSlices {
  private readonly handler: SliceHandler;
  private readonly recordBytesMax: number;
  private readonly frames: Frame[] = [];
  private hasRoot = false;
  private isWhole = false;
  private expectsValue = true;
  private application = '';

  private value: Value = 'none';
  private use: Use = 'skip';
  private depth = 0;
  private inText = false;
  private isEscaped = false;
  private parts: Buffer[] = [];
  private partsBytes = 0;
  private isTooLarge = false;

  /** @param recordBytesMax a larger record is reported as too large, not held */
  constructor(handler: SliceHandler, recordBytesMax: number) {
    this.handler = handler;
    this.recordBytesMax = recordBytesMax;
  }

  /** Takes the next bytes. Throws ProtocolError for what cannot be a registry. */
  write(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      at = this.value === 'none' ? this.structure(chunk, at) : this.consume(chunk, at);
    }
  }

  /** Throws ProtocolError when the body ended too early. */
  end(): void {
    if (!this.isWhole) throw new ProtocolError('the body ends in the middle');
  }

  /** Reads one byte between values; returns the next position. */
  private structure(chunk: Buffer, at: number): number {
    const byte = chunk[at] ?? 0;
    if (isSpace(byte)) return at + 1;
    if (this.isWhole) throw new ProtocolError('text after the end of the JSON body');
    const frame = this.frames.at(-1);
    if (frame === undefined) return this.root(chunk, at);
    if (byte === comma) {
      this.expectsValue = frame.isArray;
      return at + 1;
    }
    if (byte === colon) {
      this.expectsValue = true;
      return at + 1;
    }
    if (byte === closeBrace || byte === closeBracket) {
      this.close(frame, byte);
      return at + 1;
    }
    if (!this.expectsValue) {
      if (byte !== quote) throw new ProtocolError('the body is not JSON');
      this.begin('text', 'name');
      return at;
    }
    return this.startValue(frame, byte, at);
  }

  private root(chunk: Buffer, at: number): number {
    const byte = chunk[at] ?? 0;
    if (byte === 0xef || byte === 0xbb || byte === 0xbf) return at + 1;
    if (byte !== openBrace) throw new ProtocolError('the body is not a JSON object');
    this.hasRoot = true;
    this.push(false, 0);
    return at + 1;
  }

  private push(isArray: boolean, level: number, name = ''): void {
    if (this.frames.length >= depthMax) throw new ProtocolError('the body is nested too deeply');
    this.frames.push({ isArray, level, name });
    this.expectsValue = isArray;
  }

  private close(frame: Frame, byte: number): void {
    if (frame.isArray !== (byte === closeBracket)) throw new ProtocolError('the body is not JSON');
    this.frames.pop();
    if (this.frames.length === 0) this.isWhole = this.hasRoot;
    this.expectsValue = false;
    // Out of an application: its name must not stick to the next one.
    if (!frame.isArray && frame.level === 2) this.application = '';
  }

  private startValue(frame: Frame, byte: number, at: number): number {
    this.expectsValue = false;
    const isWanted = frame.name === path[frame.level];
    if (byte === openBracket && isWanted) {
      if (frame.level === 1) this.handler.head('application', '[]');
      this.push(true, frame.level, frame.name);
      return at + 1;
    }
    if (byte === openBrace && isWanted && frame.level < 2) {
      if (frame.level === 1 && !frame.isArray) this.handler.head('application', '{}');
      this.push(false, frame.level + 1);
      return at + 1;
    }
    this.begin(this.kindOf(byte), this.useOf(frame, isWanted, byte));
    return at;
  }

  private kindOf(byte: number): Value {
    if (byte === openBrace || byte === openBracket) return 'container';
    return byte === quote ? 'text' : 'literal';
  }

  private useOf(frame: Frame, isWanted: boolean, byte: number): Use {
    if (frame.level === 2 && isWanted) return 'instance';
    if (byte === openBrace || byte === openBracket) return 'skip';
    if (frame.level === 1 && !frame.isArray) return 'head';
    if (frame.level === 2 && frame.name === 'name') return 'application';
    return 'skip';
  }

  private begin(value: Value, use: Use): void {
    this.value = value;
    this.use = use;
    this.depth = 0;
    this.inText = false;
    this.isEscaped = false;
    this.parts = [];
    this.partsBytes = 0;
    this.isTooLarge = false;
  }

  /** Moves to the end of the current value, or of the chunk; returns the next position. */
  private consume(chunk: Buffer, start: number): number {
    const end =
      this.value === 'literal' ? this.literalEnd(chunk, start) : this.valueEnd(chunk, start);
    if (this.use !== 'skip') this.keep(chunk.subarray(start, Math.abs(end)));
    if (end < 0) return chunk.length;
    this.finish();
    return end;
  }

  /** The position behind the value, or minus the length when the chunk ends first. */
  private literalEnd(chunk: Buffer, start: number): number {
    for (let at = start; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (isStructure(byte) || isSpace(byte)) return at;
    }
    return -chunk.length;
  }

  private valueEnd(chunk: Buffer, start: number): number {
    let { depth, inText, isEscaped } = this;
    let at = start;
    const length = chunk.length;
    for (; at < length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (inText) {
        if (isEscaped) isEscaped = false;
        else if (byte === backslash) isEscaped = true;
        else if (byte === quote) {
          inText = false;
          if (depth === 0) return at + 1;
        }
      } else if (byte === quote) inText = true;
      else if (byte === openBrace || byte === openBracket) depth += 1;
      else if (byte === closeBrace || byte === closeBracket) {
        depth -= 1;
        if (depth === 0) return at + 1;
      }
    }
    this.depth = depth;
    this.inText = inText;
    this.isEscaped = isEscaped;
    return -length;
  }

  private keep(piece: Buffer): void {
    const bytesMax = this.use === 'instance' ? this.recordBytesMax : nameBytesMax;
    const room = bytesMax - this.partsBytes;
    if (piece.length > room) this.isTooLarge = true;
    if (room <= 0) return;
    this.parts.push(piece.subarray(0, room));
    this.partsBytes += Math.min(piece.length, room);
  }

  private finish(): void {
    const { use, parts, isTooLarge } = this;
    this.value = 'none';
    this.parts = [];
    if (use === 'skip') return;
    const [first] = parts;
    const json = (
      parts.length === 1 && first !== undefined ? first : Buffer.concat(parts)
    ).toString();
    const frame = this.frames.at(-1);
    if (frame === undefined) return;
    if (use === 'name') frame.name = isTooLarge ? '' : textOf(json);
    else if (use === 'head') this.handler.head(frame.name, json);
    else if (use === 'application') this.application = textOf(json);
    else this.handler.instance(json, this.application, isTooLarge);
  }
}

/** The text that a JSON string or scalar means; empty when it is broken. */
export function textOf(json: string): string {
  if (!json.startsWith('"')) return json;
  if (!json.includes('\\')) return json.slice(1, -1);
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'string' ? value : '';
  } catch {
    // A broken name names nothing: the caller skips what it does not know.
    return '';
  }
}
