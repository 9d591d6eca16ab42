import { html, nothing } from '../common/html.ts';
import type { Markup } from '../common/html.ts';
import { describeStatus, linesShownMax } from '../common/page.ts';
import type { ServiceList } from './status-page.ts';
import type { EndpointView, ServiceView } from './view.ts';

const endpointsShownMax = 50;

/** The table of services, with where each endpoint came from. `serviceCount`: of all, not only the shown ones. */
export function renderServices(serviceCount: number, list: ServiceList): Markup {
  const total = list.filter === '' ? serviceCount : undefined;
  const shown = list.services.length;
  const count = list.isCut
    ? `the first ${shown}${total === undefined ? '' : ` of ${total}`}; filter to see others`
    : list.filter === ''
      ? `${shown}`
      : `${shown} match`;
  const body =
    shown === 0
      ? html`<p class="empty">${list.filter === '' ? 'None yet.' : 'No host contains this.'}</p>`
      : html`<div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Host</th>
                <th>Address</th>
                <th>Port</th>
                <th>Endpoints, and who vouches for them</th>
                <th>Not served</th>
              </tr>
            </thead>
            <tbody>
              ${list.services.map(renderService)}
            </tbody>
          </table>
        </div>`;
  return html`<section>
    <h2>Services <small>${count}</small></h2>
    ${body}
  </section>`;
}

function renderService(service: ServiceView): Markup {
  const conflicts = service.conflicts
    .slice(0, linesShownMax)
    .map((line) => html`<div><small>${line}</small></div>`);
  return html`<tr>
    <td class="host">
      <b>${service.host}</b>
      <small><a href="/api/services/${encodeURIComponent(service.host)}">explain</a></small>
      ${conflicts}
    </td>
    <td class="k mono">${service.vip}</td>
    <td class="k">${service.port} <small>${service.protocol}</small></td>
    <td>${renderEndpoints(service)}</td>
    <td>${renderWithheld(service)}</td>
  </tr>`;
}

function renderEndpoints({ host, endpoints }: ServiceView): Markup {
  if (endpoints.length === 0) return html`<span class="soft">none: an empty service</span>`;
  const items = endpoints.slice(0, endpointsShownMax).map(renderEndpoint);
  const more = endpoints.length - items.length;
  const rest = more === 0 ? nothing : html`<li class="soft">and ${more} more</li>`;
  if (endpoints.length <= 3)
    return html`<ul>
      ${items}
    </ul>`;
  return html`<details id="${`endpoints of ${host}`}">
    <summary>
      ${endpoints.length} endpoints <span class="from">${summarizeOrigins(endpoints)}</span>
    </summary>
    <ul>
      ${items}${rest}
    </ul>
  </details>`;
}

function summarizeOrigins(endpoints: readonly EndpointView[]): string {
  const counts = new Map<string, number>();
  for (const { provenance } of endpoints) {
    for (const registry of new Set(provenance.map((origin) => origin.registry))) {
      counts.set(registry, (counts.get(registry) ?? 0) + 1);
    }
  }
  const parts = [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([registry, n]) => `${n} from ${registry}`);
  return parts.join(', ');
}

function renderEndpoint(endpoint: EndpointView): Markup {
  const address = endpoint.address.includes(':') ? `[${endpoint.address}]` : endpoint.address;
  const details = [
    endpoint.locality,
    endpoint.network === '' ? '' : `network ${endpoint.network}`,
    endpoint.weight === 0 ? '' : `weight ${endpoint.weight}`,
  ].filter((detail) => detail !== '');
  const origins = endpoint.provenance.map(({ registry, instance }) => `${registry} (${instance})`);
  return html`<li>
    <span class="mono">${address}:${endpoint.port}</span> <small>${details.join(', ')}</small>
    <small class="from">${origins.join(', ')}</small>
  </li>`;
}

function renderWithheld({ withheld }: ServiceView): Markup {
  const parts = Object.entries(withheld).filter(([, n]) => n > 0);
  return html`<small>${parts.map(([why, n]) => `${n} ${describeStatus(why)}`).join(', ')}</small>`;
}
