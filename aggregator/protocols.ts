/**
 * What the mesh makes of a registry's protocols. The service port of a protocol is a constant:
 * it depends on nothing that instances come and go with, since a changed service port is a changed
 * cluster and listener in every proxy. Istio knows no Dubbo: it is TCP, by every release's rules.
 */
export interface ServicePort {
  readonly number: number;
  /** Istio's protocol. */
  readonly protocol: string;
  /** A DNS label. */
  readonly name: string;
}

const ports: Readonly<Record<string, ServicePort>> = {
  http: { number: 80, protocol: 'HTTP', name: 'http' },
  http2: { number: 80, protocol: 'HTTP2', name: 'http2' },
  https: { number: 443, protocol: 'HTTPS', name: 'https' },
  grpc: { number: 50051, protocol: 'GRPC', name: 'grpc' },
  'grpc-web': { number: 80, protocol: 'GRPC-WEB', name: 'grpc-web' },
  tri: { number: 50051, protocol: 'GRPC', name: 'grpc-tri' },
  rest: { number: 80, protocol: 'HTTP', name: 'http-rest' },
  hessian: { number: 80, protocol: 'HTTP', name: 'http-hessian' },
  webservice: { number: 80, protocol: 'HTTP', name: 'http-webservice' },
  jsonrpc: { number: 80, protocol: 'HTTP', name: 'http-jsonrpc' },
  dubbo: { number: 20880, protocol: 'TCP', name: 'tcp-dubbo' },
  rmi: { number: 1099, protocol: 'TCP', name: 'tcp-rmi' },
  thrift: { number: 9090, protocol: 'TCP', name: 'tcp-thrift' },
  tcp: { number: 9000, protocol: 'TCP', name: 'tcp' },
  tls: { number: 443, protocol: 'TLS', name: 'tls' },
  udp: { number: 9000, protocol: 'UDP', name: 'udp' },
  mongo: { number: 27017, protocol: 'MONGO', name: 'mongo' },
  redis: { number: 6379, protocol: 'REDIS', name: 'redis' },
  mysql: { number: 3306, protocol: 'MYSQL', name: 'mysql' },
};

const byProtocol = new Map(Object.entries(ports));

/** Whether the protocol has a service port of its own; any other is passed on as TCP. */
export function isKnownProtocol(protocol: string): boolean {
  return byProtocol.has(protocol);
}

/** The one port of a host for a registry's protocol (lower case). */
export function servicePort(protocol: string): ServicePort {
  const known = byProtocol.get(protocol);
  if (known !== undefined) return known;
  const repaired = protocol
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 59)
    .replace(/^-+|-+$/g, '');
  return {
    number: 9000,
    protocol: 'TCP',
    name: repaired === '' ? 'tcp' : `tcp-${repaired}`,
  };
}
