import type { Logger } from 'pino';
import { TransientError } from '../../common/errors.ts';
import type { Source, SourceEvent, SourceReport, SuspectedLoss, Verdicts } from '../source.ts';
import { createTreeWatcher } from './client/driver.ts';
import type { TreeReport } from './client/driver.ts';
import { DubboApplications } from './dubbo/applications/applications.ts';
import type { DubboApplicationsReport } from './dubbo/applications/applications.ts';
import { createAskProvider } from './dubbo/applications/metadata-service.ts';
import { Doubts } from './doubt.ts';
import { createDubboReading } from './dubbo/dubbo.ts';
import { dubboContext } from './dubbo/dubbo-instance.ts';
import { Mailbox } from './mailbox.ts';
import { combineInterest } from './reading.ts';
import type { Reading } from './reading.ts';
import { RegistryView } from './registry-view.ts';
import { Sharing } from './sharing.ts';
import { createSpringCloudReading } from './spring-cloud.ts';
import type { TreeInterest, TreeWatcher } from './client/tree.ts';
import type { ZooKeeperOptions } from './options.ts';

/** What reading a tree takes; of the connection only how long its session lives (default: 10 s). */
export type TreeSourceOptions = Omit<ZooKeeperOptions, 'target'> & {
  readonly target?: Pick<ZooKeeperOptions['target'], 'sessionTimeoutMs'>;
};

/**
 * A source that reads an ensemble. Throws ConfigurationError when the servers cannot be understood
 * or the roots cannot be used together. Does not connect before it is watched. A report that also
 * has what the driver tells (TreeReport) is told it.
 */
export function createZooKeeperSource(
  options: ZooKeeperOptions,
  report: SourceReport & Omit<TreeReport, 'connected'> & DubboApplicationsReport,
  log: Logger,
): Source {
  const tree = createTreeWatcher(options.target, report, log);
  return createTreeSource(tree, options, report, log);
}

/** The same over a tree watcher of the caller's. */
export function createTreeSource(
  tree: TreeWatcher,
  options: TreeSourceOptions,
  report: SourceReport,
  log: Logger,
): Source {
  return new TreeSource(tree, options, report, log);
}

const defaultSessionTimeoutMs = 10_000;

class TreeSource implements Source {
  private readonly tree: TreeWatcher;
  private readonly sharing = new Sharing();
  private readonly readings: readonly Reading[];
  private readonly interest: TreeInterest;
  private readonly options: TreeSourceOptions;
  private readonly report: SourceReport;
  private readonly log: Logger;
  private view: RegistryView | undefined;

  constructor(tree: TreeWatcher, options: TreeSourceOptions, report: SourceReport, log: Logger) {
    this.tree = tree;
    this.options = options;
    this.report = report;
    this.log = log;
    this.readings = createReadings(options, this.sharing);
    this.interest = combineInterest(this.readings);
  }

  async *watch(signal: AbortSignal): AsyncGenerator<SourceEvent, void, void> {
    const mailbox = new Mailbox();
    const { readings, report, log } = this;
    const { removalDelayMs } = this.options;
    const applications = this.createApplications((path) => {
      view.claimsChanged(path);
    });
    const view = new RegistryView({
      readings,
      applications,
      removalDelayMs,
      doubts: new Doubts(this.options.target?.sessionTimeoutMs ?? defaultSessionTimeoutMs),
      mailbox,
      report,
      log,
    });
    const left = new AbortController();
    const ended = AbortSignal.any([signal, left.signal]);
    this.view = view;
    report.hiddenDelay(0);
    const finding = applications.run(ended).catch((error: unknown) => {
      mailbox.fail(error);
    });
    const driving = this.tree
      .watch(
        this.interest,
        (event) => {
          view.deliver(event);
        },
        ended,
      )
      .then(
        () => {
          mailbox.close();
        },
        (error: unknown) => {
          mailbox.fail(error);
        },
      );
    try {
      for (;;) {
        const event = await mailbox.next();
        if (event === undefined) return;
        yield event;
      }
    } finally {
      view.close();
      this.view = undefined;
      left.abort();
      await Promise.all([driving, finding]);
    }
  }

  private createApplications(changed: (path: string) => void): DubboApplications {
    const { options, report, log } = this;
    const dubbo = dubboContext(options.dubboLabelKeys, this.sharing);
    const wanted = dubbo.parameterKeys;
    return new DubboApplications({
      dubbo,
      roots: options.dubboRoots.map(trimRoot),
      hiddenInterfaces: new Set(options.hiddenInterfaces),
      hasApplicationHosts: options.hasDubboApplications,
      ask: (questions) => this.tree.ask(questions),
      askProvider: options.asksDubboProviders ? createAskProvider({ wanted }) : undefined,
      changed,
      report,
      log,
    });
  }

  /**
   * One ensemble has one truth, so a mass removal has no second witness in it: re-reading after a
   * mass expiry of sessions only repeats it, and the hold time decides.
   */
  async confirmLosses(
    losses: readonly SuspectedLoss[],
    scale: 'single' | 'mass',
    signal: AbortSignal,
  ): Promise<Verdicts> {
    if (scale === 'mass') return { confirmed: new Set(), refuted: new Set() };
    const { view } = this;
    if (view === undefined || signal.aborted) {
      throw new TransientError(`zookeeper ${this.options.registry}: not being watched`);
    }
    return await view.confirmLosses(
      losses.map(({ instance }) => instance.id),
      (paths) => this.tree.missing(paths),
    );
  }
}

function createReadings(
  options: Omit<ZooKeeperOptions, 'target'>,
  sharing: Sharing,
): readonly Reading[] {
  const { zones } = options;
  return [
    createDubboReading(
      {
        roots: options.dubboRoots.map(trimRoot),
        hiddenInterfaces: options.hiddenInterfaces,
        labelKeys: options.dubboLabelKeys,
        metadataLabelKeys: options.metadataLabelKeys,
        zones,
      },
      sharing,
    ),
    createSpringCloudReading(
      { roots: options.serviceRoots.map(trimRoot), labelKeys: options.metadataLabelKeys, zones },
      sharing,
    ),
  ];
}

function trimRoot(root: string): string {
  return root.length > 1 ? root.replace(/\/+$/, '') : root;
}
