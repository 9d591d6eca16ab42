import { json } from '../common/http-server.ts';
import type { Route } from '../common/http-server.ts';
import { renderAgentPage } from './admin-page.ts';
import type { AgentReport } from './admin-page.ts';
import type { AgentStatus } from './agent.ts';

/** What an operator can do to the agents of a process, and what he sees. */
export interface AgentControl {
  /** One for each registry that is read. */
  statuses(): readonly AgentStatus[];
  /** Lets all held removals of all registries pass now. Returns how many there were. */
  release(): number;
}

/** The routes of the agent's admin port: the page and the API. */
export function adminRoutes(control: AgentControl, version: string): Route[] {
  const report = (): AgentReport => reportOf(control.statuses(), version);
  return [
    { method: 'GET', path: '/', handle: () => renderAgentPage(report()) },
    { method: 'GET', path: '/api/status', handle: () => json(report()) },
    {
      method: 'POST',
      path: '/api/release',
      handle: () => json({ released: control.release() }),
    },
  ];
}

function reportOf(statuses: readonly AgentStatus[], version: string): AgentReport {
  const now = performance.now();
  return {
    version,
    uptimeMs: Math.round(process.uptime() * 1000),
    registries: statuses.map((status) => ({
      ...status,
      held: status.held.map(({ service, evidence, losses, dueAt, witnesses }) => ({
        service,
        evidence,
        losses,
        witnesses,
        passesInMs: Math.max(0, Math.round(dueAt - now)),
      })),
    })),
  };
}
