import type { Refusal } from './errors.ts';
import { type Money, sameMoney } from './money.ts';

export type PaymentStatus =
  | 'PENDING'
  | 'AWAITING_CONFIRMATION'
  | 'IN_DOUBT'
  | 'CAPTURED'
  | 'FAILED'
  | 'CANCELLED'
  | 'LATE_CAPTURED'
  | 'PARTIALLY_REFUNDED'
  | 'REFUNDED';

export type ChargeStatus = 'open' | 'processing' | 'requires_confirmation' | 'captured' | 'declined' | 'cancelled';

/** How an order can be paid. */
export const PAYMENT_METHODS = ['card', 'bank_transfer'] as const;
export type PaymentMethod = (typeof PAYMENT_METHODS)[number];

/** What the shopper must still do before the money comes: transfer it, or confirm the card at its bank. */
export type PaymentInstructions = Readonly<
  { type: 'bank_transfer'; bank: string; account: string; reference: string } | { type: 'redirect'; url: string }
>;

/** One charge as the gateway sees it. */
export type Charge = Readonly<{
  providerId: string;
  status: ChargeStatus;
  /** What was really taken; null unless captured. It may differ from what was asked. */
  captured: Money | null;
  refundedMinor: number;
  declineCode: string | null;
  /** Null unless `requires_confirmation`. */
  instructions: PaymentInstructions | null;
}>;

/** The capture as it was asked for, a wait for the shopper, a final "no", or undefined while nothing is decided. */
export type Judgement = 'CAPTURED' | 'AWAITING_CONFIRMATION' | Refusal | undefined;

/**
 * What a charge means for the order that asked for `amount`: other money than was asked is never kept, and money that
 * went back, before anybody here decided, pays for nothing.
 */
export function judgeCharge(charge: Charge, amount: Money, method: PaymentMethod): Judgement {
  switch (charge.status) {
    case 'captured':
      if (charge.captured !== null && sameMoney(charge.captured, amount) && charge.refundedMinor === 0)
        return 'CAPTURED';
      return {
        code: 'PAYMENT_AMOUNT_MISMATCH',
        message: 'the gateway took another amount than was asked; it is given back',
        detail: { asked: amount, captured: charge.captured },
      };
    case 'declined':
      return declined(method, charge.declineCode ?? 'declined');
    case 'cancelled':
      return method === 'bank_transfer' ? ACCOUNT_CLOSED : declined(method, 'cancelled');
    case 'requires_confirmation':
      return 'AWAITING_CONFIRMATION';
    case 'open':
    case 'processing':
      return undefined;
  }
}

/** The reason is for our records: banks ask that shoppers are not told it, least of all that a card was stolen. */
const declined = (method: PaymentMethod, reason: string): Refusal => ({
  code: 'PAYMENT_DECLINED',
  message: `the ${method === 'card' ? 'card' : 'transfer'} was declined`,
  detail: { reason },
});

/** Nobody says no to a transfer: its account is closed when it has not come in time. */
const ACCOUNT_CLOSED: Refusal = {
  code: 'HOLD_EXPIRED',
  message: 'the account for the transfer was closed before the money came',
};
