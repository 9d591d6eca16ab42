import type { Server as HttpServer } from 'node:http';
import type { Server } from 'node:net';
import { formatHostPort } from './address.ts';
import type { HostPort } from './address.ts';
import { messageOf } from './errors.ts';

/** A listener could not be opened; the text names the flag that chose its address. */
export class ListenError extends Error {
  override readonly name = 'ListenError';

  constructor(flag: string, address: HostPort, cause: unknown) {
    const why = messageOf(cause).includes('EADDRINUSE') ? ': the port is in use' : '';
    super(`${flag}: cannot listen on ${formatHostPort(address)}${why}`, { cause });
  }
}

/** Binds a server. Rejects with ListenError. */
export async function listenOn(server: Server, address: HostPort, flag: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => reject(new ListenError(flag, address, error));
    server.once('error', fail);
    server.listen({ host: address.host, port: address.port }, () => {
      server.off('error', fail);
      resolve();
    });
  });
}

const closeDeadlineMs = 1000;

/** Stops listening and lets what is being answered end; what has not ended in a second is cut. */
export async function closeServer(
  server: Pick<HttpServer, 'close' | 'closeAllConnections' | 'closeIdleConnections'>,
): Promise<void> {
  const timer = setTimeout(() => server.closeAllConnections(), closeDeadlineMs);
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeIdleConnections();
  });
  clearTimeout(timer);
}
