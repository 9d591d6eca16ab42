import { createHash, randomUUID } from 'node:crypto';

/** The server's side of SASL DIGEST-MD5, as ZooKeeper has it, for credentials of plain ASCII. */
export class DigestMd5Server {
  private readonly users: ReadonlyMap<string, string>;
  private readonly nonce = randomUUID();

  constructor(users: ReadonlyMap<string, string>) {
    this.users = users;
  }

  challenge(): Buffer {
    return Buffer.from(
      `realm="zk-sasl-md5",nonce="${this.nonce}",charset=utf-8,algorithm=md5-sess`,
    );
  }

  /** The proof that is to be sent; undefined when the response is not right. */
  prove(response: Buffer): Buffer | undefined {
    const fields = new Map(
      [...response.toString().matchAll(/([a-z-]+)=(?:"([^"]*)"|([^,]*))/g)].map(
        ([, key = '', quoted, plain = '']) => [key, quoted ?? plain],
      ),
    );
    const field = (key: string): string => fields.get(key) ?? '';
    const password = this.users.get(field('username'));
    const isForUs =
      field('nonce') === this.nonce && field('digest-uri') === 'zookeeper/zk-sasl-md5';
    if (password === undefined || !isForUs) return undefined;
    const secret = createHash('md5')
      .update(`${field('username')}:${field('realm')}:${password}`)
      .digest();
    const start = hex(
      Buffer.concat([secret, Buffer.from(`:${field('nonce')}:${field('cnonce')}`)]),
    );
    const middle = `${field('nonce')}:${field('nc')}:${field('cnonce')}:${field('qop')}`;
    const expected = hex(`${start}:${middle}:${hex(`AUTHENTICATE:${field('digest-uri')}`)}`);
    if (field('response') !== expected) return undefined;
    return Buffer.from(`rspauth=${hex(`${start}:${middle}:${hex(`:${field('digest-uri')}`)}`)}`);
  }
}

function hex(content: string | Buffer): string {
  return createHash('md5').update(content).digest('hex');
}
