import type { Money } from '../../domain/money.ts';
import type { PaymentInstructions } from '../../domain/payment.ts';
import type { RefundLine } from '../../domain/refund.ts';

/** The order service's half of money that comes late or goes back. */
export interface OrderMoneyActivities {
  /** Shows the shopper how to pay, and until when. No event: nothing of the order changed. Repeat-safe. */
  awaitPayment(
    input: Readonly<{ orderId: string; instructions: PaymentInstructions; expiresAt: string }>,
  ): Promise<void>;
  /**
   * The ordered quantity and the value of each line that comes back.
   *
   * @throws CheckoutError NOT_FOUND, ORDER_NOT_REFUNDABLE (it is not paid), INVALID_REQUEST (a line that it has not)
   */
  readRefundable(
    input: Readonly<{ orderId: string; lines: readonly RefundLine[] }>,
  ): Promise<readonly (RefundLine & Readonly<{ ordered: number; valueMinor: number }>)[]>;
  /** Books a refund that the gateway made: state, sum, history and event, once per refund. */
  recordRefund(
    input: Readonly<{ orderId: string; refundId: string; amount: Money; reason: string; by: string }>,
  ): Promise<void>;
  /**
   * A line of the order's history: the gateway refused this refund for good. Once per refund; nothing else of the order
   * changes.
   */
  recordRefundFailure(
    input: Readonly<{
      orderId: string;
      refundId: string;
      amount: Money;
      reason: string;
      by: string;
      /** The gateway's. */
      failureCode: string;
    }>,
  ): Promise<void>;
  /** A line of the order's history: money that came too late was given back. Once per payment. */
  recordSettlement(input: Readonly<{ orderId: string; paymentId: string; amount: Money }>): Promise<void>;
  /**
   * What the order's decision row says: `state` is null where the order service never heard of it, `placed` is true
   * where there is an order, and not the mark of an undo alone.
   */
  readOrderState(
    input: Readonly<{ orderId: string }>,
  ): Promise<Readonly<{ state: 'CREATED' | 'PAID' | 'CLOSED' | null; placed: boolean }>>;
  /**
   * Those of the payments whose order was not told: money that is kept although the order was closed or never made, or
   * a settlement that is not in the history of an order that exists. Answers order ids. Reads only.
   */
  findUnfinishedAmong(
    input: Readonly<{ payments: readonly Readonly<{ orderId: string; paymentId: string; settled: boolean }>[] }>,
  ): Promise<readonly string[]>;
  /** Orders that are PENDING, oldest first. */
  findPendingOrders(
    page: Readonly<{ after: string | null; limit: number }>,
  ): Promise<Readonly<{ items: readonly Readonly<{ orderId: string }>[]; next: string | null }>>;
}
