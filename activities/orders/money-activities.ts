import { CheckoutError } from '../../domain/errors.ts';
import { valueOf } from '../../domain/refund.ts';
import type { Databases, SqlTransaction } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';
import { withRefusals } from '../refusals.ts';
import { bySaga, recordChange } from './change.ts';
import type { OrderMoneyActivities } from './contract.ts';
import { lockKnownMark, type MarkState } from './mark.ts';
import * as table from './money-tables.ts';
import { appendHistory, operator } from './tables.ts';

type Input<Step extends keyof OrderMoneyActivities> = Parameters<OrderMoneyActivities[Step]>[0];

/** The order service's half of money that comes late or goes back (task queue `orders`). Each step is repeat-safe. */
export const orderMoneyActivities = ({ order: orders }: Pick<Databases, 'order'>): OrderMoneyActivities =>
  withRefusals({
    async awaitPayment({ orderId, instructions, expiresAt }: Input<'awaitPayment'>): Promise<void> {
      await orders.$transaction(async (tx) => {
        await lockKnownMark(tx, orderId);
        const stored = await table.storeInstructions(tx, orderId, instructions, expiresAt);
        if (stored === 0) return;
        await appendHistory(tx, orderId, { ...bySaga('AWAITING_CONFIRMATION'), sourceId: 'awaiting-confirmation' });
      });
    },

    async readRefundable({ orderId, lines }: Input<'readRefundable'>) {
      const numbers = lines.map(({ lineNo }) => lineNo);
      const order = await table.readOrderedLines(orders, orderId, numbers);
      if (order === undefined) throw new CheckoutError('NOT_FOUND', `there is no order ${orderId}`);
      // An order that is refunded whole passes: its refunds may be asked for again, and their first answer stands.
      if (!PAID.has(order.status)) {
        throw new CheckoutError('ORDER_NOT_REFUNDABLE', `order ${orderId} is ${order.status}: only a paid one can be`);
      }
      const orderedOf = new Map(order.lines.map((line) => [line.lineNo, line]));
      return lines.map((line, index) => {
        const known = orderedOf.get(line.lineNo);
        if (known === undefined) throw unknownLine(index, line.lineNo);
        return { ...line, ordered: known.ordered, valueMinor: valueOf(safeNumber(known.unitMinor), line.quantity) };
      });
    },

    /**
     * @throws CheckoutError ORDER_NOT_REFUNDABLE, REFUND_EXCEEDS_CAPTURE when the order cannot have given this back:
     *   neither can happen, a person must look
     */
    async recordRefund(input: Input<'recordRefund'>): Promise<void> {
      await orders.$transaction((tx) => recordRefund(tx, input));
    },

    async recordRefundFailure(input: Input<'recordRefundFailure'>): Promise<void> {
      await orders.$transaction((tx) => recordRefundFailure(tx, input));
    },

    async recordSettlement({ orderId, paymentId, amount }: Input<'recordSettlement'>): Promise<void> {
      const reason = `LATE_PAYMENT_REFUNDED ${amount.minor} ${amount.currency}`;
      await appendHistory(orders, orderId, { ...bySaga(reason), sourceId: table.settlementSource(paymentId) });
    },

    async readOrderState({ orderId }: Input<'readOrderState'>) {
      const mark = await orders.orderMark.findUnique({ where: { orderId } });
      return { state: (mark?.state ?? null) as MarkState | null, placed: (mark?.answer ?? null) !== null };
    },

    async findUnfinishedAmong({ payments }: Input<'findUnfinishedAmong'>) {
      const rows = await table.unfinishedAmong(orders, payments);
      return rows.map(({ orderId }) => orderId);
    },

    async findPendingOrders({ after, limit }: Input<'findPendingOrders'>) {
      const rows = await table.pendingOrders(orders, after === null ? null : readCursor(after), limit + 1);
      const items = rows.slice(0, limit);
      const last = items.at(-1);
      const more = rows.length > limit && last !== undefined;
      return { items: items.map(({ orderId }) => ({ orderId })), next: more ? cursorText(last) : null };
    },
  });

const PAID: ReadonlySet<string> = new Set(['PAID', 'PARTIALLY_REFUNDED', 'REFUNDED']);

async function recordRefund(tx: SqlTransaction, input: Input<'recordRefund'>): Promise<void> {
  const { orderId, refundId, amount, reason, by } = input;
  const mark = await lockKnownMark(tx, orderId);
  const sourceId = `refund:${refundId}`;
  if (await table.hasHistory(tx, orderId, sourceId)) return;
  if (mark?.state !== 'PAID') {
    throw new CheckoutError('ORDER_NOT_REFUNDABLE', `order ${orderId} is not paid, so nothing of it can go back`);
  }
  const added = await table.addRefund(tx, orderId, amount);
  if (added === 0) {
    const message = `order ${orderId} cannot have given back ${amount.minor} ${amount.currency} more`;
    throw new CheckoutError('REFUND_EXCEEDS_CAPTURE', message);
  }
  const text = `REFUNDED ${amount.minor} ${amount.currency}: ${reason}`;
  await recordChange(tx, orderId, 'OrderRefunded', { reason: text, actor: operator(by), sourceId });
}

async function recordRefundFailure(tx: SqlTransaction, input: Input<'recordRefundFailure'>): Promise<void> {
  const { orderId, refundId, amount, reason, by, failureCode } = input;
  // Behind another refund that is being booked: a line with an older version after a newer one would look like a change.
  await lockKnownMark(tx, orderId);
  const text = `REFUND_FAILED ${amount.minor} ${amount.currency} (${failureCode}): ${reason}`;
  await appendHistory(tx, orderId, { reason: text, actor: operator(by), sourceId: `refund:${refundId}-failed` });
}

function unknownLine(index: number, lineNo: number): CheckoutError {
  const message = `the order has no line ${lineNo}`;
  return new CheckoutError('INVALID_REQUEST', message, { errors: [{ pointer: `/lines/${index}/lineNo`, message }] });
}

/** Text of the database's own precision: an instant in milliseconds would pass over orders. */
const cursorText = ({ createdAt, orderId }: table.Cursor): string => `${createdAt}/${orderId}`;

function readCursor(text: string): table.Cursor {
  const [createdAt, orderId] = text.split('/');
  if (createdAt === undefined || orderId === undefined) throw new Error(`${text} is no cursor of pending orders`);
  return { createdAt, orderId };
}
