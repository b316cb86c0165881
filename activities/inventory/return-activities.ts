import { CheckoutError } from '../../domain/errors.ts';
import { takeBack } from '../../domain/inventory.ts';
import { returnIdFor } from '../../events/ids.ts';
import type { Databases, SqlTransaction } from '../../infra/databases.ts';
import { withRefusals } from '../refusals.ts';
import type { HeaderState, InventoryReturnActivities } from './contract.ts';
import { lockState } from './header.ts';
import { countReturned } from './reservations.ts';
import { lockStockOf, recordMovements } from './stock.ts';

type RestockInput = Parameters<InventoryReturnActivities['restock']>[0];
type PageInput = Parameters<InventoryReturnActivities['findReservedOrders']>[0];

/** The inventory service's half of returns and repairs (task queue `inventory`). */
export const inventoryReturnActivities = ({ platform }: Pick<Databases, 'platform'>): InventoryReturnActivities =>
  withRefusals({
    /**
     * All lines or none; a line that was restocked for this refund before is left as it is.
     *
     * @throws CheckoutError ORDER_NOT_REFUNDABLE (its stock was never sold), REFUND_QUANTITY_EXCEEDED (more than was
     *   sold of a line, over all refunds): neither can happen, a person must look. Any other error, as while the sale
     *   is not final yet: call it again
     */
    restock: (input: RestockInput): Promise<void> => platform.$transaction((tx) => restock(tx, input)),

    async readHeader({ orderId }: Readonly<{ orderId: string }>): Promise<HeaderState | null> {
      const row = await platform.inventoryOrder.findUnique({ where: { orderId } });
      if (row === null) return null;
      const { userId, requestHash, state } = row;
      if (userId === null || requestHash === null) throw new Error(`the header of order ${orderId} does not say whose`);
      return { customerId: userId.toString(), requestHash, state: state as HeaderState['state'] };
    },

    /** In the order of their ids. They are few at any time: the partial index of open headers serves this. */
    async findReservedOrders({ after, limit }: PageInput) {
      const rows = await platform.$queryRaw<{ orderId: string }[]>`
        select order_id::text as "orderId" from inventory_orders
        where state = 'RESERVED' and (${after}::uuid is null or order_id > ${after}::uuid)
        order by order_id limit ${limit + 1}`;
      const items = rows.slice(0, limit);
      return { items, next: rows.length > limit ? (items.at(-1)?.orderId ?? null) : null };
    },
  });

async function restock(tx: SqlTransaction, { refundId, orderId, lines }: RestockInput): Promise<void> {
  const header = await lockState(tx, orderId);
  if (header?.state === 'RESERVED') throw new Error(`the stock of order ${orderId} is not sold yet`);
  if (header?.state !== 'COMMITTED') {
    throw new CheckoutError('ORDER_NOT_REFUNDABLE', `order ${orderId} has no sold stock that could come back`);
  }
  const done = await restocked(tx, refundId, lines);
  const due = lines.filter(({ lineNo }) => !done.has(returnIdFor(refundId, lineNo)));
  if (due.length === 0) return;

  const returned = await countReturned(tx, orderId, due);
  if (returned.length !== due.length) {
    const message = `refund ${refundId} returns more than was sold of order ${orderId}`;
    throw new CheckoutError('REFUND_QUANTITY_EXCEEDED', message);
  }
  const inOrder = [...returned].sort((a, b) => a.lineNo - b.lineNo);
  const moves = takeBack(await lockStockOf(tx, orderId, inOrder));
  await recordMovements(tx, { orderId, refundId, reason: 'RETURN' }, moves);
}

/** The lines' ids in the ledger, of those that are there. */
async function restocked(
  tx: SqlTransaction,
  refundId: string,
  lines: RestockInput['lines'],
): Promise<ReadonlySet<string>> {
  const ids = lines.map(({ lineNo }) => returnIdFor(refundId, lineNo));
  const rows = await tx.$queryRaw<{ id: string }[]>`
    select correlation_id::text as id from inventory_events where correlation_id = any(${ids}::uuid[])`;
  return new Set(rows.map(({ id }) => id));
}
