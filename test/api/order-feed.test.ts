import assert from 'node:assert/strict';

import { pino } from 'pino';

import type { Followed, StateChange } from '../../activities/orders/read-changes.ts';
import { OrderFeed } from '../../api/order-feed.ts';
import { eventually } from '../support/eventually.ts';

const NEVER_MS = 3_600_000;
const SILENT = pino({ level: 'silent' });

const changeOf = (orderId: string, version: number): StateChange => ({
  ...{ orderId, version, status: version === 1 ? 'PENDING' : 'PAID' },
  ...{ failureCode: null, at: '2026-11-23T01:00:00.000Z' },
});

/** Versions of orders, and how they were read. */
class Orders {
  readonly versions = new Map<string, number>();
  readonly reads: (readonly Followed[])[] = [];
  failures = 0;
  gate: Promise<void> = Promise.resolve();

  readonly read = async (followed: readonly Followed[]): Promise<StateChange[]> => {
    this.reads.push(followed);
    await this.gate;
    if (this.failures > 0) {
      this.failures -= 1;
      throw new Error('away');
    }
    return followed.flatMap(({ orderId, seen }) => {
      const newest = this.versions.get(orderId) ?? 0;
      return Array.from({ length: Math.min(newest - seen, 101) }, (_, index) => changeOf(orderId, seen + index + 1));
    });
  };
}

describe('the feed of orders', () => {
  const ends: (() => void)[] = [];
  afterEach(() => ends.splice(0).forEach((end) => end()));

  const feedOf = (orders: Orders, pollMs = NEVER_MS) =>
    new OrderFeed(orders.read, SILENT, { heardPollMs: pollMs, deafPollMs: pollMs });
  const follow = (feed: OrderFeed, orderId: string, seen = 0): number[] => {
    const told: number[] = [];
    ends.push(feed.follow({ orderId, seen }, (changes) => told.push(...changes.map(({ version }) => version))));
    return told;
  };
  const becomes = (told: readonly number[], wanted: readonly number[]) =>
    eventually(`${wanted.join()} was told`, () =>
      Promise.resolve(told.length >= wanted.length ? true : undefined),
    ).then(() => assert.deepEqual(told, wanted));

  it('tells all that follow an order what each has not seen, by one read', async () => {
    const orders = new Orders();
    orders.versions.set('a', 3);
    const feed = feedOf(orders);
    const told = [follow(feed, 'a'), follow(feed, 'a', 2), follow(feed, 'a', 3)];
    await becomes(told[0] ?? [], [1, 2, 3]);
    assert.deepEqual(told, [[1, 2, 3], [3], []]);
    const before = orders.reads.length;
    orders.versions.set('a', 4);
    feed.hear('a');
    await becomes(told[2] ?? [], [4]);
    assert.deepEqual(told, [[1, 2, 3, 4], [3, 4], [4]]);
    assert.deepEqual(orders.reads.slice(before), [[{ orderId: 'a', seen: 3 }]]);
  });

  it('reads once for all news that come while it reads, and never two reads at a time', async () => {
    const orders = new Orders();
    const feed = feedOf(orders);
    let open: () => void = () => undefined;
    orders.gate = new Promise((resolve) => (open = resolve));
    const told = [follow(feed, 'a'), follow(feed, 'b')];
    for (let n = 0; n < 50; n += 1) ['a', 'b', 'nobody follows this'].forEach((id) => feed.hear(id));
    orders.versions.set('a', 1).set('b', 1);
    open();
    await becomes(told[1] ?? [], [1]);
    assert.deepEqual(
      orders.reads.map((followed) => followed.map(({ orderId }) => orderId).sort()),
      [['a'], ['a', 'b']],
    );
  });

  it('tells everything to who comes while others, who know more, are read for', async () => {
    const orders = new Orders();
    const feed = feedOf(orders);
    let open: () => void = () => undefined;
    orders.gate = new Promise((resolve) => (open = resolve));
    orders.versions.set('a', 3);
    const early = follow(feed, 'a', 2);
    const late = follow(feed, 'a');
    open();
    await becomes(early, [3]);
    await becomes(late, [1, 2, 3]);
  });

  it('tells more than one read brings, in order', async () => {
    const orders = new Orders();
    orders.versions.set('a', 250);
    const told = follow(feedOf(orders), 'a');
    await becomes(
      told,
      Array.from({ length: 250 }, (_, index) => index + 1),
    );
    assert.equal(orders.reads.length, 3);
  });

  it('finds by itself what nobody notified of, also after its database was away', async () => {
    const orders = new Orders();
    orders.failures = 3;
    orders.versions.set('a', 1);
    const told = follow(feedOf(orders, 10), 'a');
    await becomes(told, [1]);
    orders.versions.set('a', 2);
    await becomes(told, [1, 2]);
  });

  it('looks for what was missed when notifications come again', async () => {
    const orders = new Orders();
    const feed = feedOf(orders);
    const told = follow(feed, 'a');
    await eventually('it was looked at', () => Promise.resolve(orders.reads.length > 0 ? true : undefined));
    orders.versions.set('a', 2);
    feed.pause();
    feed.resume();
    await becomes(told, [1, 2]);
  });

  it('keeps nothing, and reads nothing, when nobody follows any more', async () => {
    const orders = new Orders();
    const feed = feedOf(orders, 5);
    const told = follow(feed, 'a');
    follow(feed, 'a');
    orders.versions.set('a', 1);
    await becomes(told, [1]);
    for (const end of [...ends, ...ends]) end();
    assert.equal(feed.size, 0);
    orders.versions.set('a', 2);
    const before = orders.reads.length;
    feed.hear('a');
    assert.equal(orders.reads.length, before);
    assert.deepEqual(told, [1]);
  });
});
