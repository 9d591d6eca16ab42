import type { Registration } from '../../standalone/eureka-registry/model.ts';

/** A plain registration, UP on port 8080, for tests that write to the embedded registry directly. */
export function registrationOf(
  app: string,
  id: string,
  fields: Partial<Registration> = {},
): Registration {
  return {
    instanceId: id,
    hostName: `host-${id}`,
    app,
    ipAddr: '10.0.0.1',
    status: 'UP',
    overriddenStatus: 'UNKNOWN',
    port: { number: 8080, enabled: true },
    securePort: { number: 443, enabled: false },
    countryId: 1,
    dataCenterInfo: {
      className: 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo',
      name: 'MyOwn',
      metadata: {},
    },
    renewalIntervalSecs: 30,
    durationSecs: 90,
    metadata: {},
    texts: {},
    lastDirtyTimestamp: 1,
    ...fields,
  };
}
