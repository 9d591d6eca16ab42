import type { Logger } from 'pino';
import { readBatch, readRegistration, statusNamed, time } from './batch.ts';
import { BodyBudget, usePushBody } from './body.ts';
import type { BodySource, UnusableBody } from './body.ts';
import type { PushedItem, PushReport, PushSink } from './item.ts';
import { routeOf } from './route.ts';
import type { PushRoute } from './route.ts';

/** What of a request is used. */
export interface PushRequest extends BodySource {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
}

/** What a request is answered with, and what it brought. */
export interface PushAnswer {
  readonly status: number;
  /** JSON; empty = no body. */
  readonly body: string;
  readonly items: readonly PushedItem[];
  /** Entries that were no change: malformed, or of an action that we know nothing of. */
  readonly others: number;
  readonly outcome: Parameters<PushReport['pushRequest']>[0];
}

/**
 * Finds the answer to each request, of those that servers have been seen to take well:
 * 200 with a list for a batch, 503 for whoever takes us for a registry or comes too fast, and for what will not become
 * better by being sent again 400 or 413, which servers drop at once.
 */
export class PushAnswers {
  private readonly sink: Pick<PushSink, 'isKnown'>;
  private readonly log: Logger;
  private readonly budget: BodyBudget;
  private hasToldMalformed = false;

  constructor(sink: Pick<PushSink, 'isKnown'>, log: Logger, budget = new BodyBudget()) {
    this.sink = sink;
    this.log = log;
    this.budget = budget;
  }

  /** Never rejects. The request is one of somebody who may push. */
  async answer(request: PushRequest): Promise<PushAnswer> {
    try {
      return await this.find(request);
    } catch (error) {
      this.log.error({ err: error }, 'a request to the push listener failed');
      return refusal(500, 'malformed'); // not sent again, so one odd request does no more harm
    }
  }

  private async find(request: PushRequest): Promise<PushAnswer> {
    const route = routeOf(request.method ?? '', request.url ?? '', request.headers);
    switch (route.kind) {
      case 'unknown':
        return refusal(404, 'refused');
      case 'not-a-registry':
        return refusal(503, 'refused');
      case 'ignored':
        return { ...taken([]), others: 1 };
      case 'batch':
        return this.use(request, (body) => this.batch(body));
      case 'register':
        return this.use(request, (body) => {
          const item = readRegistration(route.app, body);
          return Promise.resolve(item === undefined ? refusal(400, 'malformed') : taken([item]));
        });
      default:
        return this.call(route);
    }
  }

  private async use(
    request: PushRequest,
    answer: (body: Buffer) => Promise<PushAnswer>,
  ): Promise<PushAnswer> {
    const answered: PushAnswer | UnusableBody = await usePushBody(request, this.budget, answer);
    if ('outcome' in answered) return answered;
    const { status } = answered;
    return refusal(status, status === 503 ? 'busy' : 'malformed');
  }

  private async batch(body: Buffer): Promise<PushAnswer> {
    const batch = await readBatch(body, this.sink);
    if (batch === undefined) return refusal(400, 'malformed');
    const { items, malformed, others, answer } = batch;
    if (malformed > 0) {
      this.log[this.hasToldMalformed ? 'debug' : 'warn'](
        { malformed, of: items.length + malformed + others },
        'entries of a pushed batch are malformed and passed over',
      );
      this.hasToldMalformed = true;
    }
    return { ...taken(items), body: answer, others: others + malformed };
  }

  private call(route: Extract<PushRoute, { readonly key: string }>): PushAnswer {
    const { kind, key, query } = route;
    const dirtyAt = time(query.get('lastDirtyTimestamp'));
    switch (kind) {
      case 'cancel':
        return taken([{ kind, key }]);
      case 'heartbeat': {
        const item = { kind, key, status: statusNamed(query.get('status')), dirtyAt };
        return { ...taken([item]), status: this.sink.isKnown(key, dirtyAt) ? 200 : 404 };
      }
      default: {
        const isWithdrawn = kind === 'status-withdrawn';
        const status = statusNamed(query.get('value')) ?? (isWithdrawn ? 'UNKNOWN' : undefined);
        if (status === undefined) return refusal(400, 'malformed');
        return taken([{ kind: 'status', key, status, dirtyAt, isWithdrawn }]);
      }
    }
  }
}

/** What is answered without looking at the body. */
export function refusal(status: number, outcome: PushAnswer['outcome']): PushAnswer {
  return { status, body: '', items: [], others: 0, outcome };
}

function taken(items: readonly PushedItem[]): PushAnswer {
  return { status: 200, body: '', items, others: 0, outcome: 'taken' };
}
