import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** An HTTP proxy on loopback that forwards plain requests and makes tunnels. */
export interface ProxyStub {
  readonly port: number;
  /** `GET http://...` and `CONNECT host:port`, in order. */
  readonly requests: readonly string[];
  /** The `Proxy-Authorization` of the last request. */
  readonly authorization: string | undefined;
  /** Answered instead of forwarding, when set. */
  status: number | undefined;
  stop(): Promise<void>;
}

/** @param tls a certificate and its key, for a proxy that is spoken to over TLS itself */
export async function startProxyStub(tls?: {
  readonly cert: Buffer;
  readonly key: Buffer;
}): Promise<ProxyStub> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let authorization: string | undefined;
  const note = (request: IncomingMessage): void => {
    requests.push(`${request.method} ${request.url}`);
    authorization = request.headers['proxy-authorization'];
  };
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    note(request);
    if (stub.status === undefined) forward(request, response);
    else response.writeHead(stub.status, { 'content-type': 'text/plain' }).end('said the proxy');
  };
  const server =
    tls === undefined
      ? createServer(answer)
      : createTlsServer({ cert: tls.cert, key: tls.key }, answer);
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.on('connect', (request: IncomingMessage, client: Socket) => {
    note(request);
    client.on('error', () => undefined);
    if (stub.status !== undefined) {
      client.end(`HTTP/1.1 ${stub.status} No\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const [host = '', port] = (request.url ?? '').split(':');
    const target = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      target.pipe(client);
      client.pipe(target);
    });
    sockets.add(target);
    target.on('error', () => client.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stub: ProxyStub = {
    port: (server.address() as AddressInfo).port,
    requests,
    get authorization() {
      return authorization;
    },
    status: undefined,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
  return stub;
}

function forward(request: IncomingMessage, response: ServerResponse): void {
  const { headers, method } = request;
  const onward = httpRequest(request.url ?? '', { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.writeHead(502).end());
  onward.end();
}
