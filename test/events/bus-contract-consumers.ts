import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Subscription } from '../../events/bus/bus.ts';
import type { Contract } from '../support/bus.ts';
import { BusProcesses } from '../support/bus-processes.ts';
import { firstOnly, upTo } from '../support/events.ts';

const SUBJECTS = upTo(10).map((n) => `s${n}`);
/** A process that is gone or frozen is missed only after a while. */
const TAKE_OVER_LIMIT_MS = 90_000;

/** Several consumers of a group share its events; one that dies, freezes or leaves costs neither an event nor the order. */
export function sharesItsEvents({ start }: Contract): void {
  it('loses nothing and keeps the order while consumers of a group come and go', async () => {
    const { run, received } = start();
    received.before = () => sleep(5);
    const buses = [run.open(), run.open(), run.open()];
    const subscribe = (n: number) =>
      buses[n % buses.length]?.subscribe(run.group(), received.handle, { batchSize: 7 }) ??
      Promise.reject(new Error('there is no bus'));
    let members: Subscription[] = [await subscribe(0), await subscribe(1)];
    for (let version = 1; version <= 40; version++) {
      await buses[0]?.publish(SUBJECTS.map((name) => run.event(name, version)));
      if (version % 10 !== 0) continue;
      const [oldest, ...rest] = members;
      members = [...rest, await subscribe(version / 10)];
      await oldest?.stop();
    }
    for (const name of SUBJECTS) {
      await received.until(name, 40);
      assert.deepEqual(firstOnly(received.versions(name)), upTo(40));
    }
  });

  it('gives the events of a consumer that was killed to another one', async function () {
    this.timeout(TAKE_OVER_LIMIT_MS);
    const { run, bus, fixture } = start();
    const processes = await BusProcesses.open(fixture, run);
    try {
      const consumers = [await processes.start(200), await processes.start(200)];
      await bus.publish(upTo(20).flatMap((version) => SUBJECTS.map((name) => run.event(name, version))));
      const pid = await processes.untilInHand();
      const victim = consumers.find((one) => one.pid === pid);
      assert.ok(victim, 'what is in hand is in nobody’s');
      await victim.kill();
      assert.notDeepEqual(await processes.inHand(pid), [], 'it was killed after its effect');

      await processes.untilEffects(20 * SUBJECTS.length);
      for (const name of SUBJECTS) assert.deepEqual(await processes.effects(name), upTo(20));
    } finally {
      await processes.close();
    }
  });

  it('lets a consumer that was frozen do no harm when it wakes up', async function () {
    this.timeout(TAKE_OVER_LIMIT_MS);
    const { run, bus, fixture } = start();
    const processes = await BusProcesses.open(fixture, run);
    try {
      const consumers = [await processes.start(200), await processes.start(200)];
      await bus.publish(upTo(10).flatMap((version) => SUBJECTS.map((name) => run.event(name, version))));
      const pid = await processes.untilInHand();
      const frozen = consumers.find((one) => one.pid === pid);
      assert.ok(frozen, 'what is in hand is in nobody’s');
      frozen.signal('SIGSTOP');
      const late = await processes.inHand(pid);
      assert.notDeepEqual(late, [], 'it was frozen after its effect');

      await processes.untilEffects(10 * SUBJECTS.length);
      frozen.signal('SIGCONT');
      await bus.publish(upTo(10).flatMap((n) => SUBJECTS.map((name) => run.event(name, 10 + n))));
      await processes.untilEffects(20 * SUBJECTS.length);
      for (const name of SUBJECTS) assert.deepEqual(await processes.effects(name), upTo(20));
      for (const consumer of consumers) assert.equal(await consumer.stop(), 0, consumer.output());
      assert.equal((await bus.lag(run.group())).behind, 0);
    } finally {
      await processes.close();
    }
  });
}
