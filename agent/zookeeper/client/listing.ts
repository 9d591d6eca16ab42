import { deflateRawSync, inflateRawSync } from 'node:zlib';

/** Names as long as those of Dubbo's providers, half a kilobyte, are much alike and take a twelfth of their space. */
const packedNameMin = 128;
/** Of larger ones, of which there are few, packing would take too long at each change. */
const packedTextMax = 64 * 1024;

/**
 * The names of a directory's children as they were listed last. A registry has hundreds of thousands, which are looked
 * at again only when their directory changes: so they are kept deflated.
 */
export class Listing {
  private readonly text: string;
  private readonly isPacked: boolean;

  constructor(names: Iterable<string>) {
    const all = [...names];
    const text = all.join('/');
    this.isPacked = text.length >= all.length * packedNameMin && text.length <= packedTextMax;
    this.text = this.isPacked ? deflateRawSync(text, { level: 1 }).toString('latin1') : text;
  }

  names(): Set<string> {
    const { text, isPacked } = this;
    const plain = isPacked ? inflateRawSync(Buffer.from(text, 'latin1')).toString() : text;
    return new Set(plain === '' ? [] : plain.split('/'));
  }
}
