import type { PaymentState } from '../../activities/payments/contract.ts';
import { PAYMENT_ID } from './fake-services.ts';

/** The hold of a shop that nobody configured, milliseconds. */
export const HOLD_MS = 15 * 60_000;

export const INSTRUCTIONS = {
  type: 'bank_transfer',
  bank: 'Example Bank',
  account: '110-000-000001',
  reference: '7K3M9Q',
} as const;

export const EXPIRES_AT = '2026-11-23T01:17:03.000Z';

/** The gateway waits for the shopper, and the shop for so long, milliseconds. */
export const waitsFor = (holdMs = HOLD_MS): PaymentState => ({
  status: 'AWAITING_CONFIRMATION',
  paymentId: PAYMENT_ID,
  instructions: INSTRUCTIONS,
  expiresAt: EXPIRES_AT,
  holdMs,
});

export const CAPTURED: PaymentState = { status: 'CAPTURED', paymentId: PAYMENT_ID };
