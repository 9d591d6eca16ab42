import { Agent, request } from 'node:http';
import { isStatus } from '../../standalone/eureka-registry/model.ts';
import type { Lease } from '../../standalone/eureka-registry/model.ts';
import { encodeInstance } from '../../standalone/eureka-registry/encode.ts';
import { readRegistration } from '../../standalone/eureka-registry/registration.ts';
import type { EurekaRegistry } from '../../standalone/eureka-registry/registry.ts';
import type {
  Replication,
  ReplicationAnswer,
} from '../../standalone/eureka-registry/replication.ts';

/**
 * How Eureka servers pass writes on to a peer, as real ones were seen to do it:
 *
 * - Items wait in a window, keyed by (action, application, id): a repeat replaces the waiting one *in its place*, so
 *   that order is lost. Items refer to instances and are encoded when they are sent.
 * - Several batches may be under way at once.
 * - A whole batch answered 503, or not in time, is sent again with its items in front; so is, sooner, one that met a
 *   network fault or an answer without a body; until they are too old. Any other refusal drops it for good.
 * - An item answered 404 on a heartbeat becomes a registration; one answered 409 brings the newer registration along.
 */
export interface ReplicationTimes {
  /** How long the first item of a batch waits for others. */
  readonly windowMs: number;
  readonly readTimeoutMs: number;
  /** Until a batch that was answered 503, or too late, is sent again. */
  readonly congestionMs: number;
  /** Until a batch that met a network fault is sent again. */
  readonly networkRetryMs: number;
  /** Items older than this are dropped. */
  readonly expiryMs: number;
}

export const replicationTimes: ReplicationTimes = {
  windowMs: 500,
  readTimeoutMs: 200,
  congestionMs: 1_000,
  networkRetryMs: 100,
  expiryMs: 30_000,
};

/** What is wrong with one direction between two servers. */
export type LinkFault =
  /** Nobody can be reached: items wait and expire. */
  | { readonly kind: 'partition' }
  /** What is sent is lost for good. */
  | { readonly kind: 'drop' }
  /** Batches leave late, each after a while of its own, so they may pass one another. */
  | { readonly kind: 'delay'; readonly ms: (batch: number) => number };

export interface WireItem {
  readonly appName: string;
  readonly id: string;
  readonly action: string;
  readonly lastDirtyTimestamp?: number;
  readonly status?: string;
  readonly overriddenStatus?: string;
  readonly instanceInfo?: unknown;
}

export interface WireAnswer {
  readonly statusCode: number;
  readonly responseEntity?: unknown;
}

interface Task {
  readonly key: string;
  readonly item: () => WireItem;
  /** Its instance, for a heartbeat that is not known there. */
  readonly lease: Lease | undefined;
  readonly submittedAt: number;
}

type Outcome =
  { readonly kind: 'answered'; readonly status: number; readonly text: string } | 'late' | 'cut';

const batchMax = 250;
const workersMax = 20;

/** One server's queue towards one peer. */
export class PeerLink {
  fault: LinkFault | undefined;
  /** How many batches have been sent, again ones included. */
  batches = 0;
  private readonly url: string;
  private readonly registry: () => EurekaRegistry;
  private readonly times: ReplicationTimes;
  private readonly agent = new Agent({ keepAlive: true });
  private waiting: Task[] = [];
  private notBefore = 0;
  private underWay = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isClosed = false;

  /** @param url the peer's service URL; userinfo becomes basic authentication */
  constructor(url: string, registry: () => EurekaRegistry, times: ReplicationTimes) {
    this.url = url;
    this.registry = registry;
    this.times = times;
  }

  offer(replication: Replication): void {
    const lease =
      'lease' in replication
        ? replication.lease
        : this.registry().lease(replication.app, replication.id);
    this.add(taskOf(replication, lease));
    this.plan();
  }

  /** Nothing more leaves, and what waits is forgotten: the server has died. */
  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.waiting = [];
    this.agent.destroy();
  }

  private add(task: Task): void {
    const index = this.waiting.findIndex(({ key }) => key === task.key);
    if (index === -1) this.waiting.push(task);
    else this.waiting[index] = task;
  }

  private plan(): void {
    clearTimeout(this.timer);
    const [first] = this.waiting;
    if (first === undefined || this.isClosed || this.underWay >= workersMax) return;
    const dueAt = Math.max(first.submittedAt + this.times.windowMs, this.notBefore);
    const delayMs = Math.max(0, dueAt - performance.now());
    if (delayMs > 0 && this.waiting.length < batchMax) {
      this.timer = setTimeout(() => this.plan(), delayMs);
      return;
    }
    this.send().catch(() => undefined);
    this.plan();
  }

  private async send(): Promise<void> {
    const from = performance.now() - this.times.expiryMs;
    const batch = this.waiting.splice(0, batchMax).filter((task) => task.submittedAt > from);
    if (batch.length === 0) return;
    this.underWay += 1;
    this.batches += 1;
    const { fault } = this;
    try {
      if (fault?.kind === 'drop') return;
      if (fault?.kind === 'delay') await wait(fault.ms(this.batches));
      if (this.isClosed) return;
      const replicationList = batch.map((task) => task.item());
      const isCut = fault?.kind === 'partition';
      const outcome = isCut ? 'cut' : await this.post(JSON.stringify({ replicationList }));
      this.handle(batch, outcome);
    } finally {
      this.underWay -= 1;
      this.plan();
    }
  }

  private handle(batch: readonly Task[], outcome: Outcome): void {
    const { congestionMs, networkRetryMs } = this.times;
    if (outcome === 'late') {
      this.again(batch, congestionMs);
      return;
    }
    if (outcome === 'cut') {
      this.again(batch, networkRetryMs);
      return;
    }
    if (outcome.status === 503) {
      this.again(batch, congestionMs);
      return;
    }
    if (outcome.status !== 200) return;
    const answers = answersOf(outcome.text);
    if (answers === undefined) {
      this.again(batch, networkRetryMs);
      return;
    }
    for (const [index, task] of batch.entries()) this.handleOne(task, answers[index]);
  }

  private handleOne({ item, lease }: Task, answer: WireAnswer | undefined): void {
    if (answer === undefined || item().action !== 'Heartbeat') return;
    if (answer.statusCode === 404 && lease !== undefined) this.offer({ kind: 'register', lease });
    if (answer.responseEntity === undefined || answer.statusCode === 404) return;
    const instance: unknown = answer.responseEntity;
    const registry = this.registry();
    const { now } = registry.options;
    registry.register(readRegistration(JSON.stringify({ instance }), item().appName, now()), true);
  }

  /** In front again, unless a newer one of its kind waits already. */
  private again(batch: readonly Task[], delayMs: number): void {
    this.notBefore = performance.now() + delayMs;
    const waiting = new Set(this.waiting.map(({ key }) => key));
    this.waiting = [...batch.filter(({ key }) => !waiting.has(key)), ...this.waiting];
  }

  private post(body: string): Promise<Outcome> {
    const url = new URL('peerreplication/batch/', this.url);
    const auth =
      url.username === ''
        ? undefined
        : `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    return new Promise((resolve) => {
      const sent = request(
        url,
        {
          method: 'POST',
          agent: this.agent,
          auth,
          headers: {
            accept: 'application/json',
            'content-type': 'application/json',
            'accept-encoding': 'gzip',
            'discoveryidentity-name': 'DefaultServer',
            'transfer-encoding': 'chunked',
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', () => finish('cut'));
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            finish({ kind: 'answered', status: response.statusCode ?? 0, text });
          });
        },
      );
      const late = setTimeout(() => {
        finish('late');
        sent.destroy();
      }, this.times.readTimeoutMs);
      const finish = (outcome: Outcome): void => {
        clearTimeout(late);
        resolve(outcome);
      };
      sent.on('error', () => finish('cut'));
      sent.end(body);
    });
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const actions = {
  register: 'Register',
  heartbeat: 'Heartbeat',
  cancel: 'Cancel',
  status: 'StatusUpdate',
  'delete-status': 'DeleteStatusOverride',
} as const;

function taskOf(replication: Replication, lease: Lease | undefined): Task {
  const action = actions[replication.kind];
  const app = 'lease' in replication ? replication.lease.registration.app : replication.app;
  const id = 'lease' in replication ? replication.lease.id : replication.id;
  const item = (): WireItem => {
    const bare = { appName: app, id, action };
    if (lease === undefined || replication.kind === 'cancel') return bare;
    const { status, registration, overriddenStatus } = lease;
    const isTold = replication.kind === 'heartbeat' && overriddenStatus !== 'UNKNOWN';
    const told = {
      ...bare,
      lastDirtyTimestamp: registration.lastDirtyTimestamp,
      status,
      ...(isTold ? { overriddenStatus } : {}),
    };
    return replication.kind === 'register' ? { ...told, instanceInfo: infoOf(lease) } : told;
  };
  return { key: `${action}#${app}/${id}`, item, lease, submittedAt: performance.now() };
}

function infoOf(lease: Lease): unknown {
  return (JSON.parse(encodeInstance(lease, 'jackson')) as { readonly instance: unknown }).instance;
}

/** Undefined for what is no answer at all; an answer without a list counts as delivered. */
function answersOf(text: string): readonly WireAnswer[] | undefined {
  try {
    const body = JSON.parse(text) as { readonly responseList?: readonly WireAnswer[] };
    return body.responseList ?? [];
  } catch {
    return undefined;
  }
}

/** What a server does with a batch from a peer; the body of its answer. */
export function answerBatch(registry: EurekaRegistry, body: string): string {
  const { replicationList } = JSON.parse(body) as { readonly replicationList: readonly WireItem[] };
  const responseList = replicationList.map((item): WireAnswer => {
    const answer = take(registry, item);
    const isConflict = answer.status === 409;
    return {
      statusCode: answer.status,
      ...(isConflict ? { responseEntity: infoOf(answer.lease) } : {}),
    };
  });
  return JSON.stringify({ responseList });
}

function take(registry: EurekaRegistry, item: WireItem): ReplicationAnswer {
  const { appName: app, id, lastDirtyTimestamp: dirtyAt = 0 } = item;
  const status = isStatus(item.status ?? '') ? (item.status as Lease['status']) : 'UNKNOWN';
  const told = item.overriddenStatus ?? '';
  const overridden = isStatus(told) ? told : 'UNKNOWN';
  switch (item.action) {
    case 'Register': {
      const text = JSON.stringify({ instance: item.instanceInfo });
      registry.register(readRegistration(text, app, registry.options.now()), true);
      return { status: 200 };
    }
    case 'Heartbeat':
      return registry.applyHeartbeat(app, id, { overridden, dirtyAt });
    case 'Cancel':
      return registry.applyReplication({ kind: 'cancel', app, id });
    case 'StatusUpdate':
      return registry.applyReplication({ kind: 'status', app, id, status, dirtyAt });
    case 'DeleteStatusOverride':
      return registry.applyReplication({ kind: 'delete-status', app, id, status, dirtyAt });
    default:
      return { status: 404 };
  }
}
