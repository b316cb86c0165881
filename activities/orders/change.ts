import { appendToOutbox, shopEvent } from '../../events/outbox.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { appendHistory, type HistoryLine, readOrderFacts } from './tables.ts';

/** A line of the history that the saga itself writes. */
export const bySaga = (reason: string | null): HistoryLine => ({ reason, actor: 'checkout' });

/** History line and event of a change that the order has just made: together with it, or none of them. */
export async function recordChange(
  tx: SqlTransaction,
  orderId: string,
  type: 'OrderCreated' | 'OrderPaid' | 'OrderFailed' | 'OrderCancelled' | 'OrderRefunded',
  line: HistoryLine,
): Promise<void> {
  await appendHistory(tx, orderId, line);
  const { version, data } = await readOrderFacts(tx, orderId);
  await appendToOutbox(tx, [shopEvent(type, orderId, version, orderId, data)]);
}
