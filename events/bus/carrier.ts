import type { Databases, SqlTransaction } from '../../infra/databases.ts';

/** What carries the events; `none` while it changes: then they wait in the outboxes. */
export type Carrier = 'embedded' | 'none' | 'kafka';

/** Thrown to whoever uses a bus that is not the carrier now. Nothing is lost: events wait in the outboxes. */
export class NotTheCarrier extends Error {
  override readonly name = 'NotTheCarrier';
}

/** @throws what the database throws */
export async function carrierOf(db: SqlTransaction): Promise<Carrier> {
  const [row] = await db.$queryRaw<{ carrier: Carrier }[]>`select carrier from bus_carrier`;
  return row?.carrier ?? 'embedded';
}

/**
 * Closes the embedded log: when this returns no append is under way, and none succeeds any more. Repeat-safe.
 *
 * @returns what carries the events now: `none`, or `kafka` where they went by Kafka already
 */
export function closeLog({ bus }: Pick<Databases, 'bus'>): Promise<Carrier> {
  return bus.$transaction(async (tx) => {
    await lockLog(tx);
    await change(tx, 'embedded', 'none');
    return carrierOf(tx);
  });
}

/** Hands the events to Kafka. Only after every consumer has read the closed log to its end. Repeat-safe. */
export async function handToKafka({ bus }: Pick<Databases, 'bus'>): Promise<void> {
  await change(bus, 'none', 'kafka');
}

/**
 * Gives up a change that has not come to its end: nothing has gone by Kafka yet, so the log simply goes on. Repeat-safe.
 *
 * @returns what carries the events now: `embedded`, or `kafka` where it is too late
 */
export async function reopenLog({ bus }: Pick<Databases, 'bus'>): Promise<Carrier> {
  await change(bus, 'none', 'embedded');
  return carrierOf(bus);
}

/**
 * Makes sure that Kafka may be used. A log that nothing was ever appended to needs no switching: it is closed for good.
 *
 * @throws NotTheCarrier with what to do
 */
export async function mustBeKafka({ bus }: Pick<Databases, 'bus'>): Promise<void> {
  let carrier = await carrierOf(bus);
  if (carrier === 'embedded') carrier = await leaveUnusedLog(bus);
  if (carrier === 'kafka') return;
  throw new NotTheCarrier(
    'Events still go by the log in db_event_bus, or consumers still read it: run `npm run events:switch`, with the ' +
      'processes as they were before KAFKA_BROKERS was set. Until then events wait in the outboxes.',
  );
}

/**
 * Makes sure that the log may still be believed: whoever has read it to its end knows nothing of what goes by Kafka.
 *
 * @throws NotTheCarrier with what to do
 */
export async function mustNotBeKafka({ bus }: Pick<Databases, 'bus'>): Promise<void> {
  if ((await carrierOf(bus)) !== 'kafka') return;
  throw new NotTheCarrier('Events go by Kafka: start this process again with KAFKA_BROKERS.');
}

/** One closed group of statements: the lock keeps an append from slipping in between the look and the change. */
function leaveUnusedLog(bus: Databases['bus']): Promise<Carrier> {
  return bus.$transaction(async (tx) => {
    await lockLog(tx);
    const used = await tx.$queryRaw<unknown[]>`select 1 from event_log limit 1`;
    if (used.length === 0) await change(tx, 'embedded', 'kafka');
    return carrierOf(tx);
  });
}

/** The lock of every append, which the log's trigger takes. */
async function lockLog(tx: SqlTransaction): Promise<void> {
  await tx.$queryRaw`select pg_advisory_xact_lock(hashtextextended('event_log append', 0))::text`;
}

async function change(db: SqlTransaction, from: Carrier, to: Carrier): Promise<void> {
  await db.$executeRaw`update bus_carrier set carrier = ${to}, changed_at = now() where carrier = ${from}`;
}
