import type { Refusal } from './errors.ts';
import type { Money } from './money.ts';

/** Units of one order line that come back; `restock` puts them on sale again. */
export type RefundLine = Readonly<{ lineNo: number; quantity: number; restock: boolean }>;

/** What an administrator asked for. Without `amount` the lines say it; without both everything that is left. */
export type RefundRequest = Readonly<{
  amount: Money | null;
  lines: readonly RefundLine[];
  reason: string;
  /** Who asked: an opaque operator id. */
  by: string;
  /** SHA-256 of the canonical request body, hexadecimal. */
  requestHash: string;
}>;

/** Input of the workflow `refund`. `request` is null where the reconciler goes on with one that is on record. */
export type RefundInput = Readonly<{ refundId: string; orderId: string; request: RefundRequest | null }>;

/** A refund that is on record: its amount counts against the capture until it fails. */
export type BegunRefund = Readonly<{
  refundId: string;
  orderId: string;
  paymentId: string;
  amount: Money;
  reason: string;
  lines: readonly RefundLine[];
}>;

/** Answer of the update `begun`: the refund on record, or the recorded refusal. */
export type BegunAnswer = Readonly<{ requestHash: string }> &
  (Readonly<{ refund: BegunRefund }> | Readonly<{ refusal: Refusal }>);

/** Result of the workflow `refund`. */
export type RefundResult = Readonly<{ status: 'SUCCEEDED' | 'FAILED' | 'REFUSED'; code?: string }>;
