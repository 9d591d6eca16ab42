import { describeDuration } from '../common/duration.ts';
import { html, nothing } from '../common/html.ts';
import type { Markup } from '../common/html.ts';
import type { HttpReply } from '../common/http-server.ts';
import {
  actionButton,
  describeStatus,
  fact,
  pill,
  plural,
  linesShownMax,
  renderPage,
} from '../common/page.ts';
import { renderServices } from './services-table.ts';
import { attentionOf, describeSilence } from './attention.ts';
import type { AttentionPoint } from './attention.ts';
import type {
  AgentView,
  RegistryView,
  ServiceView,
  SubscriberView,
  SubscriptionView,
} from './view.ts';

/** Everything that stands on the page, taken at one moment. */
export interface AggregatorStatus {
  readonly version: string;
  readonly uptimeMs: number;
  readonly isComplete: boolean;
  readonly registries: readonly RegistryView[];
  readonly serviceCount: number;
  readonly subscribers: readonly SubscriberView[];
}

/** The services that are shown, by the filter. */
export interface ServiceList {
  readonly filter: string;
  /** At most `servicesShownMax`. */
  readonly services: readonly ServiceView[];
  readonly isCut: boolean;
}

/** How many services a page shows at most; the filter reaches the rest. */
export const servicesShownMax = 200;

/** The aggregator's status page. Pure: equal arguments, equal page. */
export function renderStatusPage(status: AggregatorStatus, list: ServiceList): HttpReply {
  return renderPage({
    title: 'Tributary',
    header: renderFacts(status),
    tools: html`<form method="get" role="search">
      <input
        type="search"
        name="filter"
        value="${list.filter}"
        placeholder="Filter services by host"
        aria-label="Filter services by host"
      />
    </form>`,
    content: renderContent(status, list),
  });
}

/** What needs attention stands above everything (that nothing does, out of the way), but what was searched for above that. */
function renderContent(status: AggregatorStatus, list: ServiceList): Markup {
  const points = attentionOf(status, list.services);
  const registries = renderRegistries(status.registries);
  const subscribers = renderSubscribers(status.subscribers);
  const attention = renderAttention(points);
  const services = renderServices(status.serviceCount, list);
  const state =
    points.length === 0
      ? html`${registries}${subscribers}${attention}`
      : html`${attention}${registries}${subscribers}`;
  return list.filter === '' ? html`${state}${services}` : html`${services}${state}`;
}

function renderFacts(status: AggregatorStatus): Markup {
  const live = status.registries.filter(({ state }) => state === 'live').length;
  const instances = status.registries.reduce((sum, { instances: by }) => sum + (by.UP ?? 0), 0);
  return html`${status.isComplete ? pill('good', 'serving') : pill('bad', 'not ready')}
    ${fact(`of ${status.registries.length} registries live`, live)}
    ${fact('services', status.serviceCount)} ${fact('instances up', instances)}
    ${fact(plural(status.subscribers.length, 'subscriber'), status.subscribers.length)}
    <span class="fact">up for ${describeDuration(status.uptimeMs)}, version ${status.version}</span
    >${renderSilence(status)}`;
}

function renderSilence({ isComplete, registries }: AggregatorStatus): Markup {
  if (isComplete) return nothing;
  return html`<p class="alarm">Not ready: ${describeSilence(registries)}</p>`;
}

function renderRegistries(registries: readonly RegistryView[]): Markup {
  const body =
    registries.length === 0
      ? html`<p class="empty">None yet.</p>`
      : html`<div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Registry</th>
                <th>State</th>
                <th class="n">Confirmed</th>
                <th class="n">Caches hide</th>
                <th
                  class="n"
                  title="From observation at the agent to a subscriber's acknowledgement: the latest changes, median and 99th percentile"
                >
                  Lag
                </th>
                <th class="n">Services</th>
                <th class="n">Up</th>
                <th>Others</th>
                <th>Agents</th>
                <th>Held back</th>
                <th></th>
              </tr>
            </thead>
            <tbody>
              ${registries.map(renderRegistry)}
            </tbody>
          </table>
        </div>`;
  return html`<section>
    <h2>Registries</h2>
    ${body}
  </section>`;
}

function renderRegistry(registry: RegistryView): Markup {
  const others = Object.entries(registry.instances).filter(
    ([status, n]) => status !== 'UP' && n > 0,
  );
  const age = registry.ageMs === undefined ? 'never' : `${describeDuration(registry.ageMs)} ago`;
  return html`<tr>
    <td class="k">
      <b>${registry.id}</b><br /><small
        >${describeKind(registry)}${registry.isExpected ? '' : ', shown only'}</small
      >
    </td>
    <td class="k">${statePill(registry)}</td>
    <td class="n">${age}</td>
    <td class="n">
      ${registry.hiddenDelayMs === 0 ? '–' : `≤ ${describeDuration(registry.hiddenDelayMs)}`}
    </td>
    <td class="n">${describeLag(registry)}</td>
    <td class="n">${registry.services}</td>
    <td class="n">${registry.instances.UP ?? 0}</td>
    <td class="soft">
      ${others.map(([status, n]) => `${n} ${describeStatus(status)}`).join(', ')}
    </td>
    <td>${registry.agents.map(renderAgent)}</td>
    <td>${renderHeld(registry)}</td>
    <td class="k">${renderActions(registry)}</td>
  </tr>`;
}

function describeKind({ kind, isHeard, agents }: RegistryView): string {
  return isHeard || agents.length > 0 ? kind : 'never heard of';
}

function describeLag({ lag }: RegistryView): string {
  if (lag === undefined) return '–';
  return `${describeDuration(lag.p50Ms)} / ${describeDuration(lag.p99Ms)}`;
}

function statePill(registry: RegistryView): Markup {
  if (!registry.isExpected) return pill('plain', registry.state);
  const tone = { live: 'good', stale: 'warn', waiting: 'bad' } as const;
  return pill(tone[registry.state], registry.state);
}

function renderAgent(agent: AgentView): Markup {
  const isFine = agent.isConnected && agent.state === 'live';
  const word = agent.isConnected ? agent.state : 'disconnected';
  const why = isFine || agent.reason === '' ? nothing : html`<br /><small>${agent.reason}</small>`;
  return html`<div>${agent.agentId} ${pill(isFine ? 'good' : 'warn', word)}${why}</div>`;
}

function renderHeld(registry: RegistryView): Markup {
  const byAgents = registry.agents.reduce((sum, { heldRemovals }) => sum + heldRemovals, 0);
  const here =
    registry.heldRemovals === 0
      ? nothing
      : html`${pill('warn', `${registry.heldRemovals} removals`)}
          <small>${registry.guardReason}</small> `;
  const there =
    byAgents === 0
      ? nothing
      : html`${pill('warn', `${byAgents} removals`)} <small>by its agent</small>`;
  return html`${here}${there}`;
}

function renderActions(registry: RegistryView): Markup {
  const path = `/api/registries/${registry.id}`;
  const release =
    registry.heldRemovals === 0
      ? nothing
      : actionButton(
          'Release',
          `${path}/release`,
          `Let the removals held for ${registry.id} pass now?`,
        );
  const forget = registry.agents.some(({ isConnected }) => isConnected)
    ? nothing
    : actionButton(
        'Forget',
        `${path}/forget`,
        `Forget ${registry.id}: withdraw everything it said?`,
      );
  return html`${release} ${forget}`;
}

function renderSubscribers(subscribers: readonly SubscriberView[]): Markup {
  const body =
    subscribers.length === 0
      ? html`<p class="empty">No istiod is connected.</p>`
      : html`<div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Subscriber</th>
                <th class="n">Connected</th>
                <th>Acknowledged</th>
              </tr>
            </thead>
            <tbody>
              ${subscribers.map(renderSubscriber)}
            </tbody>
          </table>
        </div>`;
  return html`<section class="wide">
    <h2>Subscribers</h2>
    ${body}
  </section>`;
}

function renderSubscriber(subscriber: SubscriberView): Markup {
  const told = subscriber.subscriptions.filter(({ pushes }) => pushes > 0).slice(0, linesShownMax);
  const others = subscriber.subscriptions.length - told.length;
  const rest =
    others === 0
      ? nothing
      : html`<div class="soft">${others} more ${plural(others, 'type')}, nothing sent</div>`;
  return html`<tr>
    <td>
      <b>${subscriber.node === '' ? 'unnamed' : subscriber.node}</b><br /><small
        >${subscriber.peer}</small
      >
    </td>
    <td class="n">${describeDuration(subscriber.connectedMs)}</td>
    <td>${told.map(renderSubscription)}${rest}</td>
  </tr>`;
}

function renderSubscription(subscription: SubscriptionView): Markup {
  const type = subscription.typeUrl.slice(subscription.typeUrl.lastIndexOf('/') + 1);
  const version = subscription.acknowledgedVersion.slice(0, 12);
  const took =
    subscription.acknowledgeMs === undefined
      ? ''
      : ` in ${describeDuration(subscription.acknowledgeMs)}`;
  const state = subscription.isInFlight ? pill('warn', 'in flight') : nothing;
  return html`<div>
    ${type} <code>${version === '' ? 'nothing yet' : version}</code
    ><small>${took}, ${subscription.pushes} ${subscription.pushes === 1 ? 'push' : 'pushes'}</small>
    ${state}
  </div>`;
}

function renderAttention(points: readonly AttentionPoint[]): Markup {
  const more = points.length - linesShownMax;
  const body =
    points.length === 0
      ? html`<p class="empty">
          Nothing: every expected registry is live and nothing is held back.
        </p>`
      : html`<ul class="attention">
          ${points.slice(0, linesShownMax).map(({ tone, word, text }) => html`<li>${pill(tone, word)}${text}</li>`)}${more > 0 ? html`<li class="soft">and ${more} more</li>` : nothing}
        </ul>`;
  return html`<section class="${points.length === 0 ? 'narrow' : 'all'}">
    <h2>Needs attention</h2>
    ${body}
  </section>`;
}
