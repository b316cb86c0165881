import { randomBytes } from 'node:crypto';

import type { Context } from 'mocha';

import type { EventBus, HandleEvents } from '../../events/bus/bus.ts';
import { sourceUri } from '../../events/catalogue.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import type { Databases } from '../../infra/databases.ts';
import { openBus as openBusDatabase } from '../../infra/databases.ts';
import { query, type TestDatabases } from './databases.ts';
import { stockEvent, stockSubject, versionsBySubject } from './events.ts';
import { eventually } from './eventually.ts';

/** One bus, and what the contract's suite has to know of it. */
export type BusFixture = Readonly<{
  /** Another client of the bus, as another process would have one. */
  open: () => EventBus;
  /** Where the dead letters are. */
  databases: TestDatabases;
  /** The settings with which a process of its own chooses this bus. */
  env: Readonly<Record<string, string>>;
  /** Makes of an event one that this bus cannot store. */
  unstorable: (event: StoredEvent) => StoredEvent;
  close: () => Promise<void>;
}>;

/** Called from a `before` hook. */
export type OpenFixture = (context: Context) => Promise<BusFixture>;

export type Letter = Readonly<{
  id: string;
  version: number;
  attempts: number;
  error: string;
  redriven: boolean;
  discarded: boolean;
}>;

/** Names, events and clients of one test: other tests' events may be on the same bus. Close it afterwards. */
export class BusRun {
  readonly #fixture: BusFixture;
  readonly #id = randomBytes(4).toString('hex');
  readonly #buses: EventBus[] = [];
  #database: Databases['bus'] | undefined;

  constructor(fixture: BusFixture) {
    this.#fixture = fixture;
  }

  open(): EventBus {
    const bus = this.#fixture.open();
    this.#buses.push(bus);
    return bus;
  }

  group = (name = 'group'): string => `${this.#id} ${name}`;
  subject = (name: string): string => stockSubject(`${this.#id}-${name}`);
  isMine = (event: StoredEvent): boolean => event.aggregateId.startsWith(this.aggregatePrefix);

  /** What the aggregates of this test begin with. */
  get aggregatePrefix(): string {
    return this.subject('').slice('inventory/'.length);
  }

  event(name: string, version: number): StoredEvent {
    const event = stockEvent(`${this.#id}-${name}`, version);
    const { id, type, aggregateType, subject, aggregateVersion } = event;
    const envelope = { ...event, source: sourceUri('platform'), time: new Date().toISOString() };
    return { id, type, source: 'platform', aggregateType, aggregateId: subject, aggregateVersion, envelope };
  }

  events = (name: string, first: number, last: number): StoredEvent[] =>
    Array.from({ length: last - first + 1 }, (_, index) => this.event(name, first + index));

  /** What the group could not handle of a subject, oldest first. */
  letters = (group: string, name: string): Promise<Letter[]> =>
    query<Letter>(
      this.#fixture.databases.adminUrl('bus'),
      `select id::text, (event ->> 'aggregateVersion')::int as version, attempts, error,
         redriven_at is not null as redriven, discarded_at is not null as discarded
       from dead_letters where group_name = $1 and subject = $2 order by id`,
      [group, this.subject(name)],
    );

  get database(): Databases['bus'] {
    return (this.#database ??= openBusDatabase(this.#fixture.databases.urls.bus, { poolSize: 2 }));
  }

  async close(): Promise<void> {
    await Promise.all(this.#buses.map((bus) => bus.close()));
    await this.#database?.$disconnect();
  }
}

/** What consumers of one test have handled, in the order in which they did. */
export class Received {
  readonly events: StoredEvent[] = [];
  /** Called with the test's own events before they count as handled; it may reject. */
  before: HandleEvents = () => Promise.resolve();
  readonly #run: BusRun;

  constructor(run: BusRun) {
    this.#run = run;
  }

  readonly handle: HandleEvents = async (batch) => {
    const mine = batch.filter(this.#run.isMine);
    if (mine.length === 0) return;
    await this.before(mine);
    this.events.push(...mine);
  };

  /** Handled versions of a subject, in order. An event that came again is there again. */
  versions = (name: string): number[] => versionsBySubject(this.events)[this.#run.subject(name)] ?? [];

  /** Resolves when so many different versions of the subject were handled. */
  async until(name: string, count: number, limitMs?: number): Promise<void> {
    const different = () => new Set(this.versions(name)).size;
    await eventually(
      `${count} events of ${name} are handled`,
      () => Promise.resolve(different() >= count ? true : undefined),
      limitMs,
    );
  }
}

/** What a case of the contract works with. */
export type Contract = Readonly<{
  start: () => Readonly<{ fixture: BusFixture; run: BusRun; bus: EventBus; received: Received }>;
}>;
