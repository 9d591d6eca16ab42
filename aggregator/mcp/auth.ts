import { AddressRanges } from './addresses.ts';
import { grpcCode } from './grpc-status.ts';
import type { GrpcStatus } from './grpc-status.ts';
import type { GrpcPeer } from './grpc-types.ts';

/** Who may subscribe. */
export interface AuthOptions {
  /** Address ranges, `10.0.0.0/8`, `fd00::/8` or single addresses; empty = every address. */
  readonly allow: readonly string[];
  /** Whether a stream without a trusted client certificate is rejected. */
  readonly requireClientCertificate: boolean;
  /**
   * Subject alternative names, exactly; empty = any name. Not empty, it also makes a client certificate
   * necessary.
   */
  readonly allowedNames: readonly string[];
}

/**
 * Decides about connections by address and about streams by certificate. istiod itself presents no
 * client certificate in any release: one comes from a proxy beside it.
 */
export class AuthChecker {
  private readonly options: AuthOptions;
  private readonly ranges: AddressRanges;

  /** Throws TypeError on a bad range: check with `isAddressRange` before. */
  constructor(options: AuthOptions) {
    this.options = options;
    this.ranges = new AddressRanges(options.allow);
  }

  isAddressAllowed(address: string): boolean {
    return this.ranges.includes(address);
  }

  /** The status to reject a stream with, or undefined when it is welcome. */
  checkStream(peer: GrpcPeer): GrpcStatus | undefined {
    if (!this.isAddressAllowed(peer.address)) {
      return { code: grpcCode.permissionDenied, message: 'this address is not allowed' };
    }
    const { certificate } = peer;
    const { allowedNames, requireClientCertificate } = this.options;
    if (certificate !== undefined && !certificate.isTrusted) {
      return { code: grpcCode.unauthenticated, message: 'the client certificate is not trusted' };
    }
    if (certificate === undefined) {
      return requireClientCertificate || allowedNames.length > 0
        ? { code: grpcCode.unauthenticated, message: 'a client certificate is required' }
        : undefined;
    }
    if (allowedNames.length > 0 && !certificate.names.some((name) => allowedNames.includes(name))) {
      return { code: grpcCode.permissionDenied, message: 'no name of the certificate is allowed' };
    }
    return undefined;
  }
}

/**
 * The names in a certificate's `subjectaltname` as Node writes it: `DNS:a.b, URI:spiffe://c`, where
 * a value with special characters is a JSON text.
 */
export function parseSubjectAltNames(text: string): string[] {
  const names: string[] = [];
  for (const match of text.matchAll(/(?:^|, )[A-Za-z ]+:("(?:[^"\\]|\\.)*"|[^,]*)/g)) {
    const value = match[1] ?? '';
    names.push(value.startsWith('"') ? String(JSON.parse(value)) : value);
  }
  return names;
}
