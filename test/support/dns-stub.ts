import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';

/** What a name is answered: the strings of its TXT records, or how it fails. No answer at all for `silence`. */
export type DnsAnswer = readonly (readonly string[])[] | 'servfail' | 'silence';

/** A name server on loopback that knows TXT records and nothing else: NXDOMAIN for names it does not know. */
export interface DnsStub {
  /** By name, in small letters. To be changed at will. */
  readonly records: Map<string, DnsAnswer>;
  /** The names that were asked, in order. */
  readonly asked: string[];
  newResolver(): Resolver;
  stop(): Promise<void>;
}

const rcodes = { ok: 0, servfail: 2, unknown: 3 };

export async function startDnsStub(): Promise<DnsStub> {
  const records = new Map<string, DnsAnswer>();
  const asked: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (query, { port, address }) => {
    const name = nameIn(query);
    asked.push(name);
    const answer = records.get(name);
    if (answer === 'silence') return;
    socket.send(respond(query, answer), port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  return {
    records,
    asked,
    newResolver: () => {
      const resolver = new Resolver({ timeout: 200, tries: 1 });
      resolver.setServers([`127.0.0.1:${port}`]);
      return resolver;
    },
    stop: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

function nameIn(query: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; ;) {
    const length = query[at] ?? 0;
    if (length === 0) return labels.join('.').toLowerCase();
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
}

/** The question again, and the answers: each names the question's name (0xc00c), TXT, IN, 60 s. */
function respond(query: Buffer, answer: Exclude<DnsAnswer, 'silence'> | undefined): Buffer {
  const rcode = answer === undefined ? 'unknown' : answer === 'servfail' ? 'servfail' : 'ok';
  const texts = Array.isArray(answer) ? (answer as readonly (readonly string[])[]) : [];
  const question = query.subarray(12, query.indexOf(0, 12) + 5);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(query.readUInt16BE(0), 0);
  head.writeUInt16BE(0x8580 | rcodes[rcode], 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(texts.length, 6);
  const answers = texts.map((strings) => {
    const data = strings.map((text) => Buffer.from([text.length, ...Buffer.from(text, 'latin1')]));
    const start = Buffer.from([0xc0, 0x0c, 0, 16, 0, 1, 0, 0, 0, 60, 0, 0]);
    start.writeUInt16BE(Buffer.concat(data).length, 10);
    return Buffer.concat([start, ...data]);
  });
  return Buffer.concat([head, question, ...answers]);
}
