import fc from 'fast-check';

const surrogates = { first: 0xd800, count: 0x800 } as const;

/** Any character: half of them are ASCII, so that what grammars care about comes up. */
const character = fc
  .oneof(
    fc.integer({ min: 0, max: 0x7f }),
    fc.integer({ min: 0, max: 0x10_ffff - surrogates.count }),
  )
  .map((at) => String.fromCodePoint(at < surrogates.first ? at : at + surrogates.count));

/** Any text. fast-check's own (`unit: 'binary'`) lists all of Unicode first, which takes it half a second. */
export function anyText(length: fc.ArrayConstraints = {}): fc.Arbitrary<string> {
  return fc.string({ ...length, unit: character });
}
