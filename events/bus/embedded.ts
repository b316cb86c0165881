import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

import { sqlStateOf } from '../../infra/database-outage.ts';
import { type Databases, openBus } from '../../infra/databases.ts';
import type { Logger } from '../../infra/log.ts';
import { type StoredEvent, subjectOf } from '../stored-event.ts';
import { Alarm, listen, type Listener } from '../wake-up.ts';
import type { EventBus, Subscription } from './bus.ts';
import { mustNotBeKafka } from './carrier.ts';
import { ATTEMPTS, openConsumer } from './consume.ts';
import { readForGroup } from './embedded-reader.ts';
import { appendToLog, ensureGroup, positionsBehind, prepareMonths } from './embedded-tables.ts';

export type EmbeddedBusOptions = Readonly<{
  /** Of `db_event_bus`. */
  url: string;
  /** Most connections for statements; each bus that has subscriptions listens by one more. */
  poolSize: number;
  /** Told what is tried again, where a subscriber does not want to know. */
  log: Logger;
  /** After this a consumer that does not move loses its group to another one, milliseconds. */
  leaseMs?: number;
  /** Pause between two looks when nobody wakes us, milliseconds. */
  pollMs?: number;
}>;

const LEASE_MS = 5_000;
const POLL_MS = 500;
const BATCH_SIZE = 500;
/** Events in one append: others wait for it. */
const APPENDED_AT_ONCE = 1_000;
/** The length of its column. */
const LONGEST_HOLDER = 100;
const MONTHS_INTERVAL_MS = 3_600_000;
const MONTHS_RETRY_MS = 60_000;

/** The bus that needs nothing but PostgreSQL: a log in `db_event_bus`, read by position, one consumer per group at a time. */
export function openEmbeddedBus({
  url,
  poolSize,
  log,
  leaseMs = LEASE_MS,
  pollMs = POLL_MS,
}: EmbeddedBusOptions): EventBus {
  const bus = openBus(url, { poolSize });
  const alarms = new Set<Alarm>();
  const subscriptions = new Set<Subscription>();
  const prepare = monthsKeeper(bus, log);
  let listener: Listener | undefined;

  return {
    async publish(events) {
      const refused = new Set<string>();
      await prepare();
      for (let i = 0; i < events.length; i += APPENDED_AT_ONCE) {
        await append(bus, events.slice(i, i + APPENDED_AT_ONCE), refused);
      }
      return refused;
    },

    async subscribe(group, handle, options = {}) {
      await ensureGroup(bus, group, options.from ?? 'earliest');
      const alarm = new Alarm();
      alarms.add(alarm);
      listener ??= listen(url, 'event_log', () => alarms.forEach((one) => one.ring()), log);

      const stopping = new AbortController();
      const onError =
        options.onError ??
        ((error: unknown) => log.warn({ err: error, group }, 'events wait: trying again until it works'));
      const lease = { group, holder: `${hostname()} ${process.pid} ${randomUUID()}`.slice(-LONGEST_HOLDER), leaseMs };
      const ended = readForGroup({
        ...{ bus, lease, alarm, pollMs, onError, stopping: stopping.signal },
        batchSize: options.batchSize ?? BATCH_SIZE,
        consumerWhile: (signal) =>
          openConsumer({
            ...{ bus, group, handle, onError, stopping: signal, holder: lease.holder },
            attempts: options.attempts ?? ATTEMPTS,
            ...(options.slowMs !== undefined && { slowMs: options.slowMs }),
          }),
      }).finally(() => alarms.delete(alarm));
      const subscription: Subscription = {
        ended,
        async stop() {
          stopping.abort();
          alarm.ring();
          await ended;
          subscriptions.delete(subscription);
        },
      };
      subscriptions.add(subscription);
      return subscription;
    },

    async lag(group) {
      const [behind] = await Promise.all([positionsBehind(bus, group), mustNotBeKafka({ bus })]);
      return { group, behind };
    },

    async close() {
      await Promise.all([...subscriptions].map((subscription) => subscription.stop()));
      await listener?.close();
      await bus.$disconnect();
    },
  };
}

/**
 * Appends events, or finds out whose are refused. Of a subject with an event that the log cannot hold none is appended:
 * what was appended before it would come again with every new try.
 */
async function append(bus: Databases['bus'], events: readonly StoredEvent[], refused: Set<string>): Promise<void> {
  const wanted = events.filter((event) => !refused.has(subjectOf(event)));
  if (wanted.length === 0) return;
  try {
    await appendToLog(bus, wanted);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const subjects = [...new Set(wanted.map(subjectOf))];
    const [only] = subjects;
    if (only !== undefined && subjects.length === 1) refused.add(only);
    else
      for (const subject of subjects)
        await append(
          bus,
          wanted.filter((event) => subjectOf(event) === subject),
          refused,
        );
  }
}

/** Data that do not fit a column, or break a rule of the table. Anything else may be otherwise next time. */
const isRefusal = (error: unknown): boolean => /^2[23]/.test(sqlStateOf(error) ?? '');

/** Upkeep: without a partition of its month an event goes to the default one, so a failure may wait. */
function monthsKeeper(bus: Databases['bus'], log: Logger): () => Promise<void> {
  let next = 0;
  return async () => {
    if (performance.now() < next) return;
    next = performance.now() + MONTHS_INTERVAL_MS;
    try {
      await prepareMonths(bus);
    } catch (error) {
      next = performance.now() + MONTHS_RETRY_MS;
      log.warn({ err: error }, 'the partitions of the event log were not made: trying again in a minute');
    }
  };
}
