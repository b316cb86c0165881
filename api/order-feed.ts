import { type Followed, MOST_CHANGES, readStateChanges, type StateChange } from '../activities/orders/read-changes.ts';
import { listen, type Listener } from '../events/wake-up.ts';
import type { Databases } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import { READ_LIMIT_MS, within } from './outage.ts';

/** The trigger on the view of orders notifies here, when the projection commits. */
const CHANNEL = 'orders_changed';

/** Milliseconds between looks at all orders that are followed: while notifications come, and while none can. */
export type FeedTimes = Readonly<{ heardPollMs: number; deafPollMs: number }>;
const TIMES: FeedTimes = { heardPollMs: 10_000, deafPollMs: 1_000 };

type Read = (followed: readonly Followed[]) => Promise<readonly StateChange[]>;
/** `more`: others follow at once. */
type Tell = (changes: readonly StateChange[], more: boolean) => void;
type Follower = { seen: number; readonly tell: Tell };

/**
 * Tells those who follow orders what becomes of them. A notification, or a look from time to time, is only a reason to
 * read the orders themselves: what was not told in time is told later, and nothing twice. However many follow an order, it
 * is read once, and all orders that have a reason together.
 */
export class OrderFeed {
  readonly #read: Read;
  readonly #log: Logger;
  readonly #times: FeedTimes;
  readonly #followers = new Map<string, Set<Follower>>();
  readonly #due = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #reading = false;
  #failed = false;
  #heard = false;

  /** @param read of the order database: the changes after the versions that are known */
  constructor(read: Read, log: Logger, times: FeedTimes = TIMES) {
    this.#read = read;
    this.#log = log;
    this.#times = times;
  }

  /** Orders that somebody follows. */
  get size(): number {
    return this.#followers.size;
  }

  /**
   * Has an order's changes after the version `seen` told, the first ones at once. `tell` must not throw.
   *
   * @returns what ends it; repeat-safe
   */
  follow({ orderId, seen }: Followed, tell: Tell): () => void {
    const follower: Follower = { seen, tell };
    const all = this.#followers.get(orderId) ?? new Set();
    this.#followers.set(orderId, all.add(follower));
    this.hear(orderId);
    this.#timer ??= this.#later();
    return () => {
      all.delete(follower);
      if (all.size > 0 || this.#followers.get(orderId) !== all) return;
      this.#followers.delete(orderId);
      this.#due.delete(orderId);
      if (this.#followers.size === 0) this.#rest();
    };
  }

  /** There may be news of an order. */
  hear(orderId: string): void {
    if (!this.#followers.has(orderId)) return;
    this.#due.add(orderId);
    if (!this.#reading) void this.#readDue();
  }

  /** Notifications come; what was missed before is looked for now. */
  resume(): void {
    this.#heard = true;
    this.#look();
  }

  /** Notifications do not come any more. */
  pause(): void {
    this.#heard = false;
    if (this.#timer !== undefined) this.#look();
  }

  #look(): void {
    this.#rest();
    for (const orderId of this.#followers.keys()) this.hear(orderId);
    if (this.#followers.size > 0) this.#timer = this.#later();
  }

  #later(): NodeJS.Timeout {
    const soon = this.#failed || !this.#heard;
    return setTimeout(() => this.#look(), soon ? this.#times.deafPollMs : this.#times.heardPollMs);
  }

  #rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** One read at a time. What failed is read again with everything else, soon. */
  async #readDue(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#due.size > 0) {
        const followed = [...this.#due].map((orderId) => ({ orderId, seen: this.#seen(orderId) }));
        this.#due.clear();
        this.#tell(await this.#read(followed), new Map(followed.map(({ orderId, seen }) => [orderId, seen])));
      }
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) this.#log.warn({ err: error }, 'orders that are followed cannot be read: trying again');
      this.#failed = true;
      this.#rest();
      if (this.#followers.size > 0) this.#timer = this.#later();
    } finally {
      this.#reading = false;
    }
  }

  #seen(orderId: string): number {
    return Math.min(...[...(this.#followers.get(orderId) ?? [])].map(({ seen }) => seen));
  }

  /** @param from the versions behind which was read: who came meanwhile and knows less is due, and told by the next read */
  #tell(changes: readonly StateChange[], from: ReadonlyMap<string, number>): void {
    const byOrder = new Map<string, StateChange[]>();
    for (const change of changes) byOrder.set(change.orderId, [...(byOrder.get(change.orderId) ?? []), change]);
    for (const [orderId, ofOrder] of byOrder) {
      const more = ofOrder.length > MOST_CHANGES;
      if (more && this.#followers.has(orderId)) this.#due.add(orderId);
      for (const follower of [...(this.#followers.get(orderId) ?? [])]) {
        if (follower.seen < (from.get(orderId) ?? Infinity)) continue;
        const news = ofOrder.slice(0, MOST_CHANGES).filter(({ version }) => version > follower.seen);
        follower.seen = news.at(-1)?.version ?? follower.seen;
        if (news.length > 0) follower.tell(news, more);
      }
    }
  }
}

/** The feed of an order database. A read that takes too long has failed. */
export const orderFeedOf = (orders: Databases['order'], log: Logger, times?: FeedTimes): OrderFeed =>
  new OrderFeed((followed) => within(READ_LIMIT_MS, readStateChanges(orders, followed)), log, times);

/**
 * Wakes a feed when the view of orders has changed, by one connection however many orders are followed.
 *
 * @param viewsUrl `db_materialized_view`
 */
export const followOrderChanges = (viewsUrl: string, feed: OrderFeed, log: Logger): Listener =>
  listen(
    viewsUrl,
    CHANNEL,
    (orderId) => (orderId === undefined ? feed.resume() : feed.hear(orderId)),
    log,
    () => feed.pause(),
  );
