import type { Databases } from '../infra/databases.ts';

/** A delivery that this process has claimed. */
export type Delivery = Readonly<{
  id: bigint;
  eventId: string;
  chargeId: string;
  orderId: string;
  body: string;
  /** Counts this one. */
  attempts: number;
}>;

/**
 * Claims deliveries that are due. A claim runs out by itself, so a process that dies loses nothing: its deliveries are
 * sent again.
 *
 * @param claimMs how long nobody else sends them, milliseconds
 */
export async function claimDue(db: Databases['gateway'], most: number, claimMs: number): Promise<Delivery[]> {
  const claimed = await db.$queryRaw<Delivery[]>`
    update webhook_deliveries
    set attempts = attempts + 1, waits = false, due_at = now() + ${claimMs}::integer * interval '1 millisecond'
    where id in (
      select id from webhook_deliveries where ended_at is null and due_at <= now()
      order by due_at, id limit ${most} for update skip locked)
    returning id, event_id as "eventId", charge_id as "chargeId", order_id as "orderId", body, attempts`;
  return claimed.sort((a, b) => Number(a.id - b.id));
}

/** Ends a delivery, and lets those go that waited for another of the charge. */
export async function endDelivery(
  db: Databases['gateway'],
  { id, chargeId }: Delivery,
  outcome: 'delivered' | 'lost',
): Promise<void> {
  await db.$transaction([
    db.$executeRaw`
      update webhook_deliveries set ended_at = now(), outcome = ${outcome} where id = ${id}::bigint and ended_at is null`,
    db.$executeRaw`
      update webhook_deliveries set due_at = now(), waits = false
      where charge_id = ${chargeId} and id <> ${id}::bigint and waits and ended_at is null`,
  ]);
}

/** Puts the next attempt `ms` milliseconds off, or until another event of the charge has arrived, if that is sooner. */
export async function postpone(db: Databases['gateway'], { id }: Delivery, ms: number, waits = false): Promise<void> {
  await db.$executeRaw`
    update webhook_deliveries
    set due_at = now() + ${ms}::integer * interval '1 millisecond', waits = ${waits}
    where id = ${id}::bigint and ended_at is null`;
}

/** For the start of the only process on this database: whoever held a claim is dead, and the shop may be up again. */
export async function releaseDeliveries(db: Databases['gateway']): Promise<void> {
  await db.$executeRaw`
    update webhook_deliveries set due_at = now() where ended_at is null and not waits and attempts > 0 and due_at > now()`;
}

/** Drops deliveries that ended more than `keptMs` milliseconds ago, the oldest first, at most `most`. */
export async function pruneDeliveries(db: Databases['gateway'], keptMs: number, most: number): Promise<number> {
  return db.$executeRaw`
    delete from webhook_deliveries where id in (
      select id from webhook_deliveries
      where ended_at < now() - ${keptMs}::bigint * interval '1 millisecond'
      order by ended_at limit ${most})`;
}
