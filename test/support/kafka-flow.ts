import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { pino } from 'pino';

import type { EventBus } from '../../events/bus/bus.ts';
import { openKafkaBus } from '../../events/bus/kafka.ts';
import { type Relay, startRelay } from '../../events/relay.ts';
import { type Databases, openPlatform } from '../../infra/databases.ts';
import { assertEventsAudited } from './audited-events.ts';
import { freshDatabases, query, type TestDatabases } from './databases.ts';
import { append, stockEvent, stockSubject, unpublished, upTo } from './events.ts';
import { eventually } from './eventually.ts';
import { Inbox } from './inbox.ts';

const PLACES = upTo(10).map((n) => `P${n}`);
const SESSION_MS = 2_000;
const DRAIN_LIMIT_MS = 120_000;

/** A service that writes, relays and consumers with an inbox, all of them on one Kafka that a test may break. */
export class KafkaFlow {
  readonly #databases: TestDatabases;
  readonly #platform: Databases['platform'];
  /** Topics of its own: other flows of the broker have events of the same names. */
  readonly #kafka: Readonly<{ brokers: readonly string[]; prefix: string }>;
  readonly #inbox: Inbox;
  readonly #buses: EventBus[] = [];
  readonly #relays: Relay[] = [];
  #version = 0;
  #writer: Promise<void> | undefined;
  #writing = false;

  private constructor(databases: TestDatabases, brokers: readonly string[], inbox: Inbox) {
    this.#databases = databases;
    this.#kafka = { brokers, prefix: `${randomBytes(4).toString('hex')}.` };
    this.#inbox = inbox;
    this.#platform = openPlatform(databases.urls.platform, { poolSize: 12 });
  }

  /** Starts so many relays and consumers, each with a bus of its own, and the writer. */
  static async start(brokers: readonly string[], relays: number, consumers: number): Promise<KafkaFlow> {
    const databases = await freshDatabases();
    const flow = new KafkaFlow(databases, brokers, await Inbox.open(databases.adminUrl('views')));
    for (let n = 0; n < relays; n++) {
      const deps = { db: flow.#platform, bus: flow.#open(), service: 'platform', instance: `relay ${n}`, pollMs: 100 };
      flow.#relays.push(startRelay(deps));
    }
    for (let n = 0; n < consumers; n++) {
      await flow.#open().subscribe('views', flow.#inbox.handle, { onError: () => undefined, batchSize: 50 });
    }
    flow.#writing = true;
    flow.#writer = flow.#write();
    return flow;
  }

  /** Resolves when so many more events had their effect. */
  async flows(count: number): Promise<void> {
    const before = await this.#inbox.count();
    const enough = async () => ((await this.#inbox.count()) >= before + count ? true : undefined);
    await eventually(`${count} more events flow`, enough, DRAIN_LIMIT_MS);
  }

  /** Ends the writer and waits until nothing is left; then every event had its effect once, in order, and none failed. */
  async assertWhole(): Promise<void> {
    this.#writing = false;
    await this.#writer;
    const all = this.#version * PLACES.length;
    const relayed = async () => ((await unpublished(this.#platform)) === 0 ? true : undefined);
    await eventually('the outbox is empty', relayed, DRAIN_LIMIT_MS);
    const handled = async () => ((await this.#inbox.count()) === all ? true : undefined);
    await eventually(`all ${all} events are handled`, handled, DRAIN_LIMIT_MS);
    const versions = await this.#inbox.versions();
    for (const place of PLACES) assert.deepEqual(versions[stockSubject(place)], upTo(this.#version));
    assert.deepEqual(await query(this.#databases.adminUrl('bus'), 'select error from dead_letters'), []);
    assert.equal(await assertEventsAudited(this.#databases, this.#kafka), all);
  }

  async close(): Promise<void> {
    this.#writing = false;
    await this.#writer;
    await Promise.all(this.#relays.map((relay) => relay.stop()));
    await Promise.all(this.#buses.map((bus) => bus.close()));
    await this.#platform.$disconnect();
    await this.#databases.drop();
  }

  #open(): EventBus {
    const bus = openKafkaBus({
      ...{ ...this.#kafka, url: this.#databases.urls.bus, poolSize: 3, partitions: 4 },
      ...{ log: pino({ level: 'silent' }), sessionTimeoutMs: SESSION_MS },
    });
    this.#buses.push(bus);
    return bus;
  }

  async #write(): Promise<void> {
    while (this.#writing) {
      this.#version += 1;
      await append(this.#platform, ...PLACES.map((place) => stockEvent(place, this.#version)));
      await sleep(20);
    }
  }
}
