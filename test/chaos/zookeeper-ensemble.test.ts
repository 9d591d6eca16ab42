import assert from 'node:assert/strict';
import { TreeDriver, tuningFor } from '../../agent/zookeeper/client/driver.ts';
import { plainAccess } from '../../agent/zookeeper/client/tree.ts';
import { createTreeSource } from '../../agent/zookeeper/source.ts';
import { optionsForTests, silent } from '../conformance/zookeeper-source-suite.ts';
import { rigTest } from '../rigs/rig-test.ts';
import { startEnsemble } from '../rigs/zookeeper.ts';
import type { EnsembleRig } from '../rigs/zookeeper.ts';
import { EnsembleProviders } from '../support/ensemble-providers.ts';
import { eventually } from '../support/eventually.ts';
import { FollowedSource, RememberedReport } from '../support/followed-source.ts';

/** Elections take seconds where other work wants the same cores. */
const patienceMs = 60_000;

/** A source that reads an ensemble, and which servers it followed. */
class Reader implements AsyncDisposable {
  readonly followed: FollowedSource;
  readonly report = new RememberedReport();

  constructor({ members }: EnsembleRig) {
    const servers = members.map(({ connectString }) => connectString);
    const target = { servers, chroot: '', sessionTimeoutMs: 5_000, access: plainAccess };
    const { report } = this;
    const driver = new TreeDriver(target, report, silent, tuningFor(target.sessionTimeoutMs));
    this.followed = new FollowedSource(createTreeSource(driver, optionsForTests, report, silent));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.followed.stop();
  }
}

/** An ensemble, its providers and a source. */
class World {
  readonly ensemble: EnsembleRig;
  private readonly providers: EnsembleProviders;
  private readonly reader: Reader;

  constructor(ensemble: EnsembleRig, providers: EnsembleProviders, reader: Reader) {
    this.ensemble = ensemble;
    this.providers = providers;
    this.reader = reader;
  }

  /** The source sees what is registered from now on, and has taken back nothing that lives. */
  async isFollowed(): Promise<void> {
    const { followed } = this.reader;
    const id = await this.providers.registerOne();
    await eventually(() => assert.ok(followed.view.has(id), 'not seen'), patienceMs);
    this.keepsWhatLives();
  }

  keepsWhatLives(): void {
    const { followed } = this.reader;
    assert.deepEqual(this.providers.living(followed.removed), []);
    const missing = [...this.providers.staying].filter((id) => !followed.view.has(id));
    assert.deepEqual(this.providers.living(missing), []);
  }

  async leader(): Promise<number> {
    let leader = -1;
    await eventually(async () => {
      leader = await this.ensemble.leader();
    }, patienceMs);
    return leader;
  }

  /** Index of the server that the source follows, or followed last. */
  followedServer(): number {
    const server = this.reader.report.servers.at(-1);
    return this.ensemble.members.findIndex(({ connectString }) => connectString === server);
  }

  async isLost(): Promise<void> {
    const { events } = this.reader.followed;
    await eventually(() => assert.equal(events.at(-1)?.kind, 'lost'), patienceMs);
    this.keepsWhatLives();
  }

  /** When nothing changes any more, the source says what one without a past does. */
  async endsAsItIs(): Promise<void> {
    await this.providers.settle();
    await using fresh = new Reader(this.ensemble);
    await eventually(() => {
      assert.ok(fresh.followed.count('snapshot') > 0);
      assert.deepEqual(this.reader.followed.instances(), fresh.followed.instances());
    }, patienceMs);
    this.keepsWhatLives();
  }
}

rigTest(
  'whichever servers an ensemble loses under churn, no provider that lives is taken back',
  'every',
  async (context) => {
    await using ensemble = await startEnsemble();
    await using providers = await EnsembleProviders.open(ensemble.connectString);
    await using reader = new Reader(ensemble);
    const world = new World(ensemble, providers, reader);
    await world.isFollowed();

    await context.test('its leader, twice', async () => {
      for (let round = 0; round < 2; round += 1) {
        const leader = await world.leader();
        await ensemble.kill(leader);
        await world.isFollowed();
        await ensemble.restart(leader);
      }
    });

    await context.test('the server that is followed', async () => {
      const followed = world.followedServer();
      await ensemble.kill(followed);
      await world.isFollowed();
      await ensemble.restart(followed);
    });

    await context.test('both other servers: without a quorum nothing is believed', async () => {
      const followed = world.followedServer();
      const others = [0, 1, 2].filter((index) => index !== followed);
      await Promise.all(others.map((index) => ensemble.kill(index)));
      await world.isLost();
      await Promise.all(others.map((index) => ensemble.restart(index)));
      await world.isFollowed();
    });

    await context.test('all of them', async () => {
      await Promise.all([0, 1, 2].map((index) => ensemble.kill(index)));
      await world.isLost();
      await Promise.all([0, 1, 2].map((index) => ensemble.restart(index)));
      await world.isFollowed();
    });

    await world.endsAsItIs();
  },
);
