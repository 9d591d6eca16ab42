/** Eureka's write calls, as an application makes them. Each rejects unless the server agrees. */

export interface EurekaApplication {
  register(changes?: EurekaRegistration): Promise<void>;
  heartbeat(): Promise<void>;
  override(status: string): Promise<void>;
  /** It goes on as UP. */
  removeOverride(): Promise<void>;
  cancel(): Promise<void>;
}

export interface EurekaRegistration {
  readonly status?: string;
  readonly port?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An instance of an application that is not registered yet. */
export function eurekaApplication(
  serviceUrl: string,
  app: string,
  address: string,
): EurekaApplication {
  const id = `${address}:${app.toLowerCase()}`;
  const call = async (method: string, path: string, body?: unknown): Promise<void> => {
    const response = await fetch(`${serviceUrl}${path}`, {
      method,
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status}`);
  };
  const own = `apps/${app}/${encodeURIComponent(id)}`;
  return {
    register: ({ status = 'UP', port = 8080, metadata = {} } = {}) =>
      call('POST', `apps/${app}`, {
        instance: {
          instanceId: id,
          hostName: address,
          app,
          ipAddr: address,
          status,
          vipAddress: app.toLowerCase(),
          port: { $: port, '@enabled': 'true' },
          securePort: { $: 443, '@enabled': 'false' },
          dataCenterInfo: {
            '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo',
            name: 'MyOwn',
          },
          leaseInfo: { renewalIntervalInSecs: 30, durationInSecs: 300 },
          metadata,
        },
      }),
    heartbeat: () => call('PUT', own),
    override: (status) => call('PUT', `${own}/status?value=${status}`),
    removeOverride: () => call('DELETE', `${own}/status?value=UP`),
    cancel: () => call('DELETE', own),
  };
}
