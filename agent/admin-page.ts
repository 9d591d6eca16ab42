import { describeDuration } from '../common/duration.ts';
import { html, nothing } from '../common/html.ts';
import type { Markup } from '../common/html.ts';
import { describeServiceKey } from '../common/instance.ts';
import type { HttpReply } from '../common/http-server.ts';
import {
  actionButton,
  describeStatus,
  fact,
  linesShownMax,
  pill,
  renderPage,
} from '../common/page.ts';
import type { Tone } from '../common/page.ts';
import type { AgentStatus } from './agent.ts';
import type { FeedClientStatus } from './feed-client.ts';
import type { PushFacts, SourceFacts } from './source-facts.ts';

/** Removals that the guard holds in one part of a registry. */
export interface HeldReport {
  /** The service, or empty for the whole registry. */
  readonly service: string;
  readonly evidence: string;
  readonly losses: number;
  /** Who was asked about the held removals last and what they said, or empty. */
  readonly witnesses: string;
  /** When the first of them passes by itself, milliseconds from now. */
  readonly passesInMs: number;
}

/** What the page and the API show of one registry. */
export type RegistryReport = Omit<AgentStatus, 'held'> & { readonly held: readonly HeldReport[] };

/** Everything that stands on the page, taken at one moment. */
export interface AgentReport {
  readonly version: string;
  readonly uptimeMs: number;
  readonly registries: readonly RegistryReport[];
}

/** The agent's page. Pure: equal arguments, equal page. */
export function renderAgentPage(report: AgentReport): HttpReply {
  return renderPage({
    title: 'Tributary agent',
    header: renderFacts(report),
    tools: nothing,
    content: html`${renderRegistries(report.registries)}${renderAggregators(report.registries)}${renderHeld(report.registries)}`,
  });
}

function renderFacts({ registries, version, uptimeMs }: AgentReport): Markup {
  const live = registries.filter(({ state }) => state === 'live').length;
  const up = registries.reduce((sum, { instances }) => sum + (instances.UP ?? 0), 0);
  const services = registries.reduce((sum, registry) => sum + registry.services, 0);
  const worst = worstOf(registries);
  return html`${worst === undefined ? nothing : pill(toneOf(worst), worst)}
    ${registries.length === 1 ? nothing : fact(`of ${registries.length} registries live`, live)}
    ${fact('services', services)} ${fact('instances up', up)}
    <span class="fact">up for ${describeDuration(uptimeMs)}, version ${version}</span>`;
}

function worstOf(registries: readonly RegistryReport[]): AgentStatus['state'] | undefined {
  const order = ['lost', 'suspect', 'waiting', 'live'] as const;
  return order.find((state) => registries.some((registry) => registry.state === state));
}

function toneOf(state: AgentStatus['state']): Tone {
  if (state === 'live') return 'good';
  return state === 'lost' ? 'bad' : 'warn';
}

function renderRegistries(registries: readonly RegistryReport[]): Markup {
  return html`<section>
    <h2>Registries</h2>
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>Registry</th>
            <th>State</th>
            <th>Read from</th>
            <th class="n">Confirmed</th>
            <th class="n">Caches hide</th>
            <th class="n">Services</th>
            <th class="n">Up</th>
            <th>Others</th>
            <th>Agent</th>
            <th class="n">Sequence</th>
          </tr>
        </thead>
        <tbody>
          ${registries.map(renderRegistry)}
        </tbody>
      </table>
    </div>
  </section>`;
}

function renderRegistry(registry: RegistryReport): Markup {
  const { registryAgeMs, state, reason } = registry;
  const { hiddenDelayMs } = registry.source;
  const age = registryAgeMs === undefined ? 'never' : `${describeDuration(registryAgeMs)} ago`;
  const others = Object.entries(registry.instances).filter(
    ([status, n]) => status !== 'UP' && n > 0,
  );
  return html`<tr>
    <td class="k"><b>${registry.registry}</b><br /><small>${registry.kind}</small></td>
    <td>
      ${pill(toneOf(state), state)}${reason === '' ? nothing : html`<div><small>${reason}</small></div>`}
    </td>
    <td>${renderSource(registry.source)}</td>
    <td class="n">${age}</td>
    <td class="n">${hiddenDelayMs === 0 ? '–' : `≤ ${describeDuration(hiddenDelayMs)}`}</td>
    <td class="n">${registry.services}</td>
    <td class="n">${registry.instances.UP ?? 0}</td>
    <td class="soft">
      ${others.map(([status, n]) => `${n} ${describeStatus(status)}`).join(', ')}
    </td>
    <td>
      ${registry.agentId}<br /><small>epoch <code>${registry.epoch.slice(0, 8)}</code></small>
    </td>
    <td class="n">${registry.sequence}</td>
  </tr>`;
}

/** Where it is read from, and what of it an operator should know. */
function renderSource(source: SourceFacts): Markup {
  const { server, push, expired, unresolvedHosts, unreadable, ignored } = source;
  const lines: string[] = [];
  if (push !== undefined) lines.push(describePush(push));
  if (expired.count > 0) {
    const more = expired.count > expired.examples.length ? ', ...' : '';
    lines.push(
      `${expired.count} stopped renewing and are still listed: ${expired.examples.join(', ')}${more}`,
    );
  }
  if (unresolvedHosts > 0) lines.push(`host names that cannot be resolved: ${unresolvedHosts}`);
  if (unreadable > 0)
    lines.push(`paths that may not be read: ${unreadable} (what is known of them stays)`);
  const kinds = Object.entries(ignored).map(([kind, count]) => `${count} ${kind}`);
  if (kinds.length > 0) lines.push(`left alone: ${kinds.join(', ')}`);
  const small = lines.map((line) => html`<div><small>${line}</small></div>`);
  return html`<span class="mono">${server === '' ? '–' : server}</span>${small}`;
}

function describePush({ peers, items }: PushFacts): string {
  const latest = Math.min(...peers.map(({ agoMs }) => agoMs));
  const counts = Object.entries(items).map(([action, count]) => `${count} ${action}`);
  const what = counts.length === 0 ? '' : `: ${counts.join(', ')}`;
  if (peers.length === 0) return `no server pushes any more${what}`;
  const servers = peers.length === 1 ? '1 server pushes' : `${peers.length} servers push`;
  return `${servers}, last ${describeDuration(latest)} ago${what}`;
}

function renderAggregators(registries: readonly RegistryReport[]): Markup {
  const rows = registries.flatMap((registry) =>
    registry.aggregators.map((aggregator) => renderAggregator(registry, aggregator)),
  );
  const body =
    rows.length === 0
      ? html`<p class="empty">No address of an aggregator is known.</p>`
      : html`<div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Aggregator</th>
                <th>Registry</th>
                <th>Feed</th>
                <th class="n">Accepted</th>
                <th>Served</th>
              </tr>
            </thead>
            <tbody>
              ${rows}
            </tbody>
          </table>
        </div>`;
  return html`<section class="half">
    <h2>Aggregators</h2>
    ${body}
  </section>`;
}

function renderAggregator(registry: RegistryReport, aggregator: FeedClientStatus): Markup {
  const { state, reason } = aggregator;
  const tones = {
    welcomed: 'good',
    duplicate: 'plain',
    connecting: 'warn',
    waiting: 'bad',
  } as const;
  const isConnected = state === 'welcomed';
  const behind = registry.sequence - aggregator.accepted;
  const lag = isConnected && behind > 0 ? html`<br /><small>${behind} behind</small>` : nothing;
  const served = aggregator.served ? 'yes' : 'shown only: not among its --expect';
  return html`<tr>
    <td class="k mono">${aggregator.address}</td>
    <td class="k">${registry.registry}</td>
    <td>
      ${pill(tones[state], state)}${reason === '' ? nothing : html`<div><small>${reason}</small></div>`}
    </td>
    <td class="n">${isConnected ? html`${aggregator.accepted}${lag}` : '–'}</td>
    <td>${isConnected ? served : '–'}</td>
  </tr>`;
}

function renderHeld(registries: readonly RegistryReport[]): Markup {
  const total = registries.reduce((sum, { heldRemovals }) => sum + heldRemovals, 0);
  const lines = registries.flatMap((registry) =>
    registry.held.map((held) => renderHeldPart(registry, held)),
  );
  const more = lines.length - linesShownMax;
  const body =
    total === 0
      ? html`<p class="empty">Nothing: no removal is held back.</p>`
      : html`<ul class="attention">
            ${lines.slice(0, linesShownMax)}${more > 0 ? html`<li class="soft">and ${more} more</li>` : nothing}
          </ul>
          <p class="actions">
            ${actionButton('Release all', '/api/release', `Let ${total} held removals pass now?`)}
          </p>`;
  return html`<section class="half">
    <h2>
      Held back by the guard ${total === 0 ? nothing : html`<small>${total} removals</small>`}
    </h2>
    ${body}
  </section>`;
}

function renderHeldPart({ registry }: RegistryReport, held: HeldReport): Markup {
  const where = held.service === '' ? registry : `${registry}, ${describeServiceKey(held.service)}`;
  return html`<li>
    ${pill('warn', `${held.losses}`)} <b>${where}</b>: ${held.evidence}
    ${held.witnesses === '' ? nothing : html`<small>asked: ${held.witnesses};</small>`}
    <small>passes by itself in ${describeDuration(held.passesInMs)}</small>
  </li>`;
}
