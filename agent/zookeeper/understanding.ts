import type { Logger } from 'pino';
import type { Instance } from '../../common/instance.ts';
import type { SourceReport, Verdicts } from '../source.ts';
import type { DubboApplications } from './dubbo/applications/applications.ts';
import { DubboKnowledge } from './dubbo/knowledge.ts';
import { EndpointTable } from './endpoints.ts';
import type { Reading } from './reading.ts';
import { ViewNotes } from './view-notes.ts';

/** What nodes are understood with. */
export interface UnderstandingParts {
  readonly readings: readonly Reading[];
  readonly applications: DubboApplications;
  readonly report: SourceReport;
  readonly log: Logger;
}

/**
 * What the tree means at this moment: the endpoints for which nodes vouch, as the rules that stand in other
 * nodes leave them. Ids that may have changed are marked in the table.
 */
export class Understanding {
  readonly table: EndpointTable;
  readonly notes: ViewNotes;
  private readonly applications: DubboApplications;
  private readonly knowledge: DubboKnowledge;

  constructor({ readings, applications, report, log }: UnderstandingParts) {
    const notes = new ViewNotes(report, log);
    const knowledge = new DubboKnowledge(applications);
    this.notes = notes;
    this.applications = applications;
    this.knowledge = knowledge;
    this.table = new EndpointTable(readings, {
      dropped: (reason, record) => {
        notes.dropped(reason, record);
      },
      ignored: (what, path) => {
        notes.ignored(what, path);
      },
      counted: (before, now) => {
        notes.counted(before, now);
      },
      fact: (key, path, fact) => {
        knowledge.set(key, path, fact);
        if (fact.kind === 'application') this.claim(path);
      },
      factGone: (key) => {
        knowledge.delete(key);
      },
      joined: (instance, traits) => {
        knowledge.joined(instance, traits);
      },
      left: (instance, traits) => {
        knowledge.left(instance, traits);
      },
    });
  }

  /** The endpoint as its newest node and the rules have it; undefined when no node vouches for it. */
  current(id: string): Instance | undefined {
    const claim = this.table.current(id);
    return claim === undefined ? undefined : this.knowledge.project(claim);
  }

  /** The nodes that last vouched for each of these; an id that no node has vouched for lately is not among them. */
  lastPaths(ids: readonly string[]): ReadonlyMap<string, readonly string[]> {
    const pathsById = new Map<string, readonly string[]>();
    for (const id of ids) {
      const paths = this.table.lastPaths(id);
      if (paths !== undefined) pathsById.set(id, paths);
    }
    return pathsById;
  }

  /**
   * Which endpoints are gone, now that it is known which of the nodes that last vouched for them are: confirmed those
   * for which no node has come since, refuted those that are there.
   */
  verdicts(
    suspected: ReadonlyMap<string, readonly string[]>,
    absent: ReadonlySet<string>,
  ): Verdicts {
    const confirmed = new Set<string>();
    const refuted = new Set<string>();
    for (const [id, paths] of suspected) {
      const current = this.current(id);
      if (current?.status === 'UP') refuted.add(id);
      else if (current === undefined && paths.every((path) => absent.has(path))) confirmed.add(id);
    }
    return { confirmed, refuted };
  }

  /** What the application-level registration at this path vouches for may have changed. */
  claim(path: string): void {
    this.table.claim(path, this.applications.claims(path));
  }

  /** Whether rules have changed and the endpoints that they could concern are not marked. */
  get hasChangedRules(): boolean {
    return this.knowledge.hasChangedRules;
  }

  /** Marks those endpoints, in steps. */
  markConcerned(): Iterable<undefined> {
    return this.hasChangedRules ? this.table.mark(this.knowledge.takeConcerned()) : [];
  }
}
