import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import type { StoredEvent } from '../../events/stored-event.ts';
import { type Contract, Received } from '../support/bus.ts';
import { firstOnly, upTo } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { gate } from '../support/gate.ts';

/** Long enough for what must not happen to happen. Milliseconds. */
const WHILE_MS = 300;
const NONE: ReadonlySet<string> = new Set();

/** Every event comes, in the order of its subject, and comes again until it is handled. */
export function delivers({ start }: Contract): void {
  it('hands over every event, in order within its subject', async () => {
    const { run, bus, received } = start();
    await bus.subscribe(run.group(), received.handle);
    for (let first = 1; first <= 61; first += 20) {
      const each = ['a', 'b', 'c'].map((name) => run.events(name, first, first + 19));
      assert.deepEqual(await bus.publish(mixed(each)), NONE);
    }
    for (const name of ['a', 'b', 'c']) {
      await received.until(name, 80);
      assert.deepEqual(firstOnly(received.versions(name)), upTo(80));
    }
  });

  it('hands over what was published, unchanged', async () => {
    const { run, bus, received } = start();
    const event = run.event('한글/€ "quoted" \\ 😀', 1);
    await bus.subscribe(run.group(), received.handle);
    await bus.publish([event]);
    await eventually('the event is handled', () => Promise.resolve(received.events[0]));
    assert.deepEqual(received.events[0], event);
  });

  it('hands every event to every group, also to one that comes later', async () => {
    const { run, bus, received } = start();
    const late = new Received(run);
    await bus.subscribe(run.group('one'), received.handle);
    await bus.publish(run.events('a', 1, 5));
    await received.until('a', 5);

    await bus.subscribe(run.group('two'), late.handle);
    await bus.publish(run.events('a', 6, 8));
    for (const each of [received, late]) {
      await each.until('a', 8);
      assert.deepEqual(firstOnly(each.versions('a')), upTo(8));
    }
  });

  it('hands a group that begins at the latest event nothing older, and goes on with it after a restart', async () => {
    const { run, bus, received } = start();
    await bus.publish(run.events('a', 1, 3));
    const subscription = await bus.subscribe(run.group(), received.handle, { from: 'latest' });
    await bus.publish(run.events('a', 4, 5));
    await received.until('a', 2);
    await subscription.stop();

    await bus.publish(run.events('a', 6, 7));
    await bus.subscribe(run.group(), received.handle, { from: 'latest' });
    await received.until('a', 4);
    assert.deepEqual(firstOnly(received.versions('a')), [4, 5, 6, 7]);
  });

  it('brings a rejected event again before any later one of its subject', async () => {
    const { run, bus, received } = start();
    let rejections = 2;
    received.before = (batch) => {
      if (rejections === 0 || !isAmong(batch, run.event('a', 2))) return Promise.resolve();
      rejections -= 1;
      return Promise.reject(new Error('not yet'));
    };
    await bus.subscribe(run.group(), received.handle, { onError: () => undefined });
    await bus.publish(mixed([run.events('a', 1, 4), run.events('b', 1, 4)]));
    for (const name of ['a', 'b']) {
      await received.until(name, 4);
      assert.deepEqual(firstOnly(received.versions(name)), upTo(4));
    }
    assert.equal(rejections, 0);
    assert.deepEqual(await run.letters(run.group(), 'a'), []);
  });

  it('goes on after a restart where it was, without what was handled before', async () => {
    const { run, received, bus } = start();
    const first = await bus.subscribe(run.group(), received.handle);
    await bus.publish(run.events('a', 1, 5));
    await received.until('a', 5);
    await first.stop();
    await bus.close();

    const restarted = run.open();
    await restarted.publish(run.events('a', 6, 10));
    await restarted.subscribe(run.group(), received.handle);
    await received.until('a', 10);
    assert.deepEqual(received.versions('a'), upTo(10));
  });

  it('stops only when the batch in hand is handled, and stores that it is', async () => {
    const { run, bus, received } = start();
    const handled = gate();
    const entered = gate();
    received.before = () => {
      entered.open();
      return handled.passed;
    };
    const subscription = await bus.subscribe(run.group(), received.handle);
    await bus.publish(run.events('a', 1, 1));
    await entered.passed;

    let stopped = false;
    const stopping = subscription.stop().then(() => (stopped = true));
    await sleep(WHILE_MS);
    assert.equal(stopped, false, 'it stopped with an event in hand');
    handled.open();
    await stopping;
    await subscription.ended;
    assert.deepEqual(received.versions('a'), [1]);
    await subscription.stop();

    await bus.publish(run.events('a', 2, 2));
    await sleep(WHILE_MS);
    assert.deepEqual(received.versions('a'), [1], 'it handled one more after it had stopped');
    await bus.subscribe(run.group(), received.handle);
    await received.until('a', 2);
    assert.deepEqual(received.versions('a'), [1, 2]);
  });

  it('says how far behind a group is, and that it is not when it has handled everything', async () => {
    const { run, bus, received } = start();
    const subscription = await bus.subscribe(run.group(), received.handle);
    await bus.publish(run.events('a', 1, 5));
    await received.until('a', 5);
    await subscription.stop();
    assert.deepEqual(await bus.lag(run.group()), { group: run.group(), behind: 0 });

    await bus.publish(run.events('a', 6, 8));
    assert.deepEqual(await bus.lag(run.group()), { group: run.group(), behind: 3 });
    await bus.subscribe(run.group(), received.handle);
    await eventually('the group has caught up', async () =>
      (await bus.lag(run.group())).behind === 0 ? true : undefined,
    );
    assert.deepEqual(received.versions('a'), upTo(8));
  });

  it('names the subject of an event that it cannot store, stores nothing later of it, and all of the others', async () => {
    const { run, bus, received, fixture } = start();
    await bus.subscribe(run.group(), received.handle);
    const refused = await bus.publish([
      ...[run.event('b', 1), run.event('a', 1), run.event('b', 2)],
      ...[fixture.unstorable(run.event('a', 2)), run.event('a', 3), run.event('c', 1), run.event('b', 3)],
    ]);
    assert.deepEqual(refused, new Set([run.subject('a')]));
    await received.until('b', 3);
    await received.until('c', 1);
    assert.deepEqual(firstOnly(received.versions('b')), upTo(3));
    assert.ok(received.versions('a').every((version) => version === 1));

    assert.deepEqual(await bus.publish(run.events('a', 1, 3)), NONE);
    await received.until('a', 3);
    assert.deepEqual(firstOnly(received.versions('a')), upTo(3));
  });
}

/** One of each subject in turn. */
const mixed = (each: readonly (readonly StoredEvent[])[]): StoredEvent[] =>
  upTo(Math.max(...each.map(({ length }) => length))).flatMap((n) => each.flatMap((events) => events[n - 1] ?? []));

const isAmong = (batch: readonly StoredEvent[], { aggregateId, aggregateVersion }: StoredEvent): boolean =>
  batch.some((event) => event.aggregateId === aggregateId && event.aggregateVersion === aggregateVersion);
