import { randomUUID } from 'node:crypto';

import type { SqlTransaction } from '../infra/databases.ts';

export type EventType = 'charge.captured' | 'charge.declined' | 'charge.cancelled' | 'charge.refunded';

/**
 * Notes what the shop has to be told, in the transaction that made it true: whoever sends it finds it there, also
 * after a crash. The event shows the charge as it is now.
 */
export async function announce(tx: SqlTransaction, chargeId: string, type: EventType): Promise<void> {
  const eventId = `evt_${randomUUID()}`;
  await tx.$executeRaw`
    insert into webhook_deliveries (event_id, charge_id, order_id, type, body)
    select ${eventId}, id, order_id, ${type}, jsonb_build_object(
      'id', ${eventId}::text,
      'type', ${type}::text,
      'createdAt', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'data', jsonb_build_object(
        'providerId', id,
        'orderId', order_id,
        'method', method,
        'status', status,
        'amount', jsonb_build_object('minor', amount, 'currency', currency),
        'captured', case when captured_amount is not null
          then jsonb_build_object('minor', captured_amount, 'currency', captured_currency) end,
        'refundedMinor', refunded_amount,
        'declineCode', decline_code))::text
    from charges where id = ${chargeId}`;
}
