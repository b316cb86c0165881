import type { Refusal } from './errors.ts';
import { type Money, times } from './money.ts';

/** Units of one order line that come back; `restock` puts them on sale again. */
export type RefundLine = Readonly<{ lineNo: number; quantity: number; restock: boolean }>;

/** A line that comes back, as the order has it: units that were ordered, and what the returned ones cost, minor units. */
export type RefundableLine = RefundLine & Readonly<{ ordered: number; valueMinor: number }>;

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
  /** Who asked: an opaque operator id. */
  by: string;
  /** Of the request: whoever repeats it must ask for the same. */
  requestHash: string;
  lines: readonly RefundLine[];
}>;

/** Answer of the update `begun`: the refund on record, or the recorded refusal. */
export type BegunAnswer = Readonly<{ requestHash: string }> &
  (Readonly<{ refund: BegunRefund }> | Readonly<{ refusal: Refusal }>);

/**
 * Result of the workflow `refund`. FAILED: the gateway refused it for good; `code` is the gateway's. REFUSED: it was never
 * made; the whole refusal, because one that the order service gave is on record nowhere else.
 */
export type RefundResult =
  | Readonly<{ status: 'SUCCEEDED'; code?: undefined }>
  | Readonly<{ status: 'FAILED'; code: string }>
  | (Readonly<{ status: 'REFUSED' }> & Refusal);

/** What can still be given back. Refunds under way count as given: their money may be gone already. */
export type Refundable = Readonly<{
  captured: Money;
  /** Minor units, of refunds that succeeded and of those under way. */
  takenMinor: number;
  /** Units of each line, of refunds that succeeded and of those under way. */
  returned: ReadonlyMap<number, number>;
}>;

/** The value of some units of an order line. A product beyond the safe integers is more than any capture. */
export const valueOf = (unitMinor: number, quantity: number): number =>
  times(unitMinor, quantity) ?? Number.MAX_SAFE_INTEGER;

/**
 * The amount to give back, or a "no": never more money than is left of the capture, never more units than are left of
 * a line, and never nothing.
 *
 * @param asked null: what the lines cost, or without lines everything that is left
 */
export function decideRefund(
  asked: Money | null,
  lines: readonly RefundableLine[],
  { captured, takenMinor, returned }: Refundable,
): Money | Refusal {
  const refusal = refuseLines(lines, returned);
  if (refusal !== undefined) return refusal;
  const { currency } = captured;
  const left = captured.minor - takenMinor;
  if (asked !== null && asked.currency !== currency) {
    const message = `the order was paid in ${currency}`;
    return { code: 'INVALID_REQUEST', message, detail: { errors: [{ pointer: '/amount/currency', message }] } };
  }

  const everything = asked === null && lines.length === 0;
  const minor = everything ? left : (asked?.minor ?? lines.reduce((sum, { valueMinor }) => sum + valueMinor, 0));
  if (minor > left || (everything && left <= 0)) {
    const message = `only ${Math.max(left, 0)} minor units are left to refund`;
    return { code: 'REFUND_EXCEEDS_CAPTURE', message, detail: { left: { minor: Math.max(left, 0), currency } } };
  }
  if (!Number.isSafeInteger(minor) || minor <= 0) {
    return { code: 'AMOUNT_OUT_OF_RANGE', message: 'a refund must be more than nothing' };
  }
  return { minor, currency };
}

function refuseLines(lines: readonly RefundableLine[], returned: Refundable['returned']): Refusal | undefined {
  const numbers = new Set(lines.map(({ lineNo }) => lineNo));
  if (numbers.size < lines.length || lines.some(({ quantity }) => !Number.isSafeInteger(quantity) || quantity < 1)) {
    const message = 'each line can be named once, with at least one unit';
    return { code: 'INVALID_REQUEST', message, detail: { errors: [{ pointer: '/lines', message }] } };
  }
  const short = lines
    .map(({ lineNo, quantity, ordered }) => ({ lineNo, asked: quantity, left: ordered - (returned.get(lineNo) ?? 0) }))
    .filter(({ asked, left }) => asked > left);
  if (short.length === 0) return undefined;
  const message = `more units than are left of lines ${short.map(({ lineNo }) => lineNo).join(', ')}`;
  return { code: 'REFUND_QUANTITY_EXCEEDED', message, detail: short };
}
