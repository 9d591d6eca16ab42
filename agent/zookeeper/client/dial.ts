import { connect as connectTcp, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls } from 'node:tls';
import type { TlsSettings } from './access.ts';
import { parseServer } from './servers.ts';
import type { Candidate } from './servers.ts';

/** A socket that is on its way, and the event that says it can be written to. */
export interface Dial {
  readonly socket: Socket;
  readonly openEvent: 'connect' | 'secureConnect';
}

/**
 * Dials a server, with TLS if wanted. The certificate is checked for the host as it is configured, not
 * for the address that it has now; a host that is an address is not asked for by name (SNI), but the
 * certificate must have that address.
 */
export function dial(candidate: Candidate, tls: TlsSettings | undefined): Dial {
  const { address: host, port } = candidate;
  if (tls === undefined) {
    return { socket: connectTcp({ host, port, noDelay: true }), openEvent: 'connect' };
  }
  const name = expectedName(candidate, tls);
  const socket = connectTls({
    host,
    port,
    secureContext: tls.context,
    servername: isIP(name) === 0 ? name : '',
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
  });
  socket.setNoDelay(true);
  return { socket, openEvent: 'secureConnect' };
}

/** Whether the first bytes of a server that was spoken to in plain text are a TLS record (an alert, mostly). */
export function isTlsRecord(chunk: Buffer): boolean {
  return (chunk[0] === 0x15 || chunk[0] === 0x16) && chunk[1] === 0x03;
}

function expectedName(candidate: Candidate, tls: TlsSettings): string {
  const name = tls.serverName ?? parseServer(candidate.server).host;
  return name.length > 1 && name.endsWith('.') ? name.slice(0, -1) : name;
}
