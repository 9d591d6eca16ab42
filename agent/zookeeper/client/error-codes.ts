/** ZooKeeper's error codes, as of server 3.9, and what each means for a reader. */

/** Codes that are decided upon by name. */
export const errorCodes = {
  ok: 0,
  unimplemented: -6,
  noNode: -101,
  noAuth: -102,
  authFailed: -115,
  saslRequired: -124,
} as const;

const names: ReadonlyMap<number, string> = new Map([
  [0, 'OK'],
  [-1, 'SYSTEM_ERROR'],
  [-2, 'RUNTIME_INCONSISTENCY'],
  [-3, 'DATA_INCONSISTENCY'],
  [-4, 'CONNECTION_LOSS'],
  [-5, 'MARSHALLING_ERROR'],
  [-6, 'UNIMPLEMENTED'],
  [-7, 'OPERATION_TIMEOUT'],
  [-8, 'BAD_ARGUMENTS'],
  [-12, 'UNKNOWN_SESSION'],
  [-13, 'NEW_CONFIG_NO_QUORUM'],
  [-14, 'RECONFIG_IN_PROGRESS'],
  [-100, 'API_ERROR'],
  [-101, 'NO_NODE'],
  [-102, 'NO_AUTH'],
  [-103, 'BAD_VERSION'],
  [-108, 'NO_CHILDREN_FOR_EPHEMERALS'],
  [-110, 'NODE_EXISTS'],
  [-111, 'NOT_EMPTY'],
  [-112, 'SESSION_EXPIRED'],
  [-113, 'INVALID_CALLBACK'],
  [-114, 'INVALID_ACL'],
  [-115, 'AUTH_FAILED'],
  [-118, 'SESSION_MOVED'],
  [-119, 'NOT_READ_ONLY'],
  [-120, 'EPHEMERAL_ON_LOCAL_SESSION'],
  [-121, 'NO_WATCHER'],
  [-122, 'REQUEST_TIMEOUT'],
  [-123, 'RECONFIG_DISABLED'],
  [-124, 'SESSION_CLOSED_REQUIRE_SASL_AUTH'],
  [-125, 'QUOTA_EXCEEDED'],
  [-127, 'THROTTLED_OP'],
]);

/** Codes after which the session is of no more use, whatever the request was. */
const endsSession: ReadonlySet<number> = new Set([-4, -12, -112, -115, -118, -124]);

/** `NO_AUTH (-102)`, or `unknown (-999)`. */
export function describeErrorCode(code: number): string {
  return `${names.get(code) ?? 'unknown'} (${code})`;
}

/** Whether the code stands in the list of server 3.9. */
export function isKnownErrorCode(code: number): boolean {
  return names.has(code);
}

/** Whether the session is over with this reply. All other codes concern one request only. */
export function isSessionOver(code: number): boolean {
  return endsSession.has(code);
}
