import { HttpError, json } from '../common/http-server.ts';
import type { HttpReply, HttpRequest, Route } from '../common/http-server.ts';
import { isRegistryId } from '../common/registry.ts';
import type { RegistryId } from '../common/registry.ts';
import { attentionOf } from './attention.ts';
import { renderStatusPage, servicesShownMax } from './status-page.ts';
import type { AggregatorStatus, ServiceList } from './status-page.ts';
import type { AggregatorView, ServiceView } from './view.ts';
import type { MemberExplanation } from './views.ts';

/** What an operator can do to the aggregator, and what he sees. */
export interface AggregatorControl {
  readonly view: AggregatorView;
  /**
   * Retires a registry: withdraws everything it said. `fed`: refused, since an agent is connected
   * and would bring it all back. `unknown`: neither heard of nor expected.
   */
  forget(registry: RegistryId): Promise<ForgetOutcome> | ForgetOutcome;
  /** Lets held removals of a registry pass now: how many, or undefined if there is no such one. */
  release(registry: RegistryId): number | undefined;
  /** Why each instance of a host is served or not, or undefined when there is no such host. */
  explain(host: string): HostExplanation | undefined;
}

export type ForgetOutcome = 'forgotten' | 'fed' | 'unknown';

/** What is served under a host, and why each of its instances is part of that or not. */
export interface HostExplanation {
  readonly service: ServiceView;
  readonly members: readonly MemberExplanation[];
}

const servicesMax = 10_000;

/** The routes of the admin port: the status page and the API. */
export function adminRoutes(control: AggregatorControl, version: string): Route[] {
  const { view } = control;
  const status = (): AggregatorStatus => statusOf(view, version);
  const get = (path: string, handle: (request: HttpRequest) => HttpReply): Route => ({
    method: 'GET',
    path,
    handle,
  });
  return [
    get('/', ({ query }) => renderStatusPage(status(), listServices(view, filterOf(query)))),
    get('/api/status', () => json({ ...status(), attention: attentionOf(status(), []) })),
    get('/api/registries', () => json({ registries: view.registries() })),
    get('/api/services', ({ query }) => {
      const limit = limitOf(query.get('limit'));
      const found = view.services(filterOf(query), limit + 1);
      return json({
        total: view.serviceCount(),
        isCut: found.length > limit,
        services: found.slice(0, limit),
      });
    }),
    get('/api/services/:host', ({ parameters }) => json(explain(control, parameters.host ?? ''))),
    get('/api/subscribers', () => json({ subscribers: view.subscribers() })),
    {
      method: 'POST',
      path: '/api/registries/:datacenter/:name/forget',
      handle: async ({ parameters }) => {
        const id = registryOf(parameters);
        return forgetReply(id, await control.forget(id));
      },
    },
    {
      method: 'POST',
      path: '/api/registries/:datacenter/:name/release',
      handle: ({ parameters }) => {
        const id = registryOf(parameters);
        const released = control.release(id);
        if (released === undefined) throw new HttpError(404, `no registry ${id} is known`);
        return json({ registry: id, released });
      },
    },
  ];
}

function statusOf(view: AggregatorView, version: string): AggregatorStatus {
  return {
    version,
    uptimeMs: Math.round(process.uptime() * 1000),
    isComplete: view.isComplete(),
    registries: view.registries(),
    serviceCount: view.serviceCount(),
    subscribers: view.subscribers(),
  };
}

/** Hosts are lower case. */
function filterOf(query: URLSearchParams): string {
  return (query.get('filter') ?? '').trim().toLowerCase();
}

function listServices(view: AggregatorView, filter: string): ServiceList {
  const found = view.services(filter, servicesShownMax + 1);
  return {
    filter,
    services: found.slice(0, servicesShownMax),
    isCut: found.length > servicesShownMax,
  };
}

function explain(control: AggregatorControl, host: string): HostExplanation {
  const found = control.explain(host.toLowerCase());
  if (found === undefined) throw new HttpError(404, `no service has the host ${host}`);
  return found;
}

function forgetReply(id: RegistryId, outcome: ForgetOutcome): HttpReply {
  switch (outcome) {
    case 'forgotten':
      return json({ forgotten: id });
    case 'fed':
      throw new HttpError(409, `${id} is being fed: stop its agents first, then forget it`);
    case 'unknown':
      throw new HttpError(404, `no registry ${id} is known`);
  }
}

function limitOf(text: string | null): number {
  if (text === null) return servicesShownMax;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= servicesMax) return limit;
  throw new HttpError(400, `limit: expected a number between 1 and ${servicesMax}`);
}

function registryOf(parameters: Readonly<Record<string, string>>): RegistryId {
  const id = `${parameters.datacenter ?? ''}/${parameters.name ?? ''}`;
  if (isRegistryId(id)) return id;
  throw new HttpError(400, 'expected /api/registries/<datacenter>/<name>/...');
}
