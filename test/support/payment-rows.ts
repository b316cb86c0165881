import { randomUUID } from 'node:crypto';

import type { PaymentStatus } from '../../domain/payment.ts';
import { paymentIdFor } from '../../events/ids.ts';
import { query } from './databases.ts';

export type GivenPayment = Readonly<{
  status: PaymentStatus;
  /** Of its decision row. */
  decision: 'CAPTURED' | 'REFUSED' | 'ABANDONED' | null;
  method?: 'card' | 'bank_transfer';
  /** Minor units, where they are not what the status says of ₩7,000. */
  captured?: number | null;
  refunded?: number;
  provider?: string;
}>;

const INSTRUCTIONS = { type: 'redirect', url: 'https://bank.example/0' };
const REFUSAL = { code: 'PAYMENT_DECLINED', message: 'the card was declined: no' };

/** A payment as it may stand, and its decision row, without its history. @returns its order; the provider's id is the same */
export async function givePayment(adminUrl: string, given: GivenPayment): Promise<string> {
  const { status, decision, method = 'card', provider = 'simulated' } = given;
  const orderId = randomUUID();
  const captured = given.captured === undefined ? (/CAPTURED|REFUNDED/.test(status) ? 7_000 : null) : given.captured;
  const refunded = given.refunded ?? (status === 'REFUNDED' ? 7_000 : status === 'PARTIALLY_REFUNDED' ? 100 : 0);
  const waits = status === 'AWAITING_CONFIRMATION';
  await query(
    adminUrl,
    `insert into payments (id, order_id, user_id, provider, provider_payment_id, method, status, amount, currency,
       idempotency_key, captured_amount, captured_currency, captured_at, refunded_amount, instructions, expires_at)
     values ($1, $2, 42, $3, $4, $5, $6, 7000, 'KRW', $7, $8, $9, $10, $11, $12, $13)`,
    [
      ...[paymentIdFor(orderId), orderId, provider, orderId, method, status, `${orderId}:confirm`],
      ...[captured, captured === null ? null : 'KRW', captured === null ? null : new Date(), refunded],
      ...[waits ? JSON.stringify(INSTRUCTIONS) : null, waits ? new Date(Date.now() + 60_000) : null],
    ],
  );
  const answer = decision === 'REFUSED' ? JSON.stringify(REFUSAL) : null;
  await query(adminUrl, 'insert into payment_marks (order_id, decision, answer) values ($1, $2, $3)', [
    ...[orderId, decision, answer],
  ]);
  return orderId;
}
