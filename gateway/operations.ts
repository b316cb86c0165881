import { randomUUID } from 'node:crypto';

import type { Money } from '../domain/money.ts';
import type { PaymentMethod } from '../domain/payment.ts';
import type { Databases, SqlTransaction } from '../infra/databases.ts';
import { errorAnswer, GatewayError, type Outcome } from './answers.ts';
import * as charges from './charges.ts';
import type { Fault } from './faults.ts';
import { type Claim, storeAnswer } from './keys.ts';
import { type PendingRefund, promisedMinor, REFUND_FAILURE, refundsUnder, startRefund } from './refunds.ts';

/** @throws GatewayError unknown_charge, so that nothing is kept of a call that met none */
export const mustLock = async (tx: SqlTransaction, providerId: string): Promise<charges.LockedCharge> => {
  const charge = await charges.lockCharge(tx, providerId);
  if (charge === undefined) throw new GatewayError('unknown_charge', 'there is no such charge');
  return charge;
};

/** Opens a charge; no money moves. */
export function prepare(
  db: Databases['gateway'],
  claim: Claim,
  asked: Readonly<{ orderId: string; amount: Money; method: PaymentMethod }>,
): Promise<Outcome> {
  const providerId = `ch_${randomUUID()}`;
  return db.$transaction(async (tx) => {
    await charges.insertCharge(tx, providerId, asked);
    return storeAnswer(tx, claim, { status: 201, body: charges.charged(await mustLock(tx, providerId)) });
  });
}

/** The charge as it is now. */
export function lookup(db: Databases['gateway'], providerId: string): Promise<Outcome> {
  return db.$transaction(async (tx) => ({ connection: 'answer', answer: await now(tx, providerId) }));
}

/** Closes a charge that has taken nothing. One that is processing, or ended, is answered as it is. */
export function cancel(db: Databases['gateway'], providerId: string): Promise<Outcome> {
  return db.$transaction(async (tx) => {
    if (charges.isOpen(await mustLock(tx, providerId))) await charges.move(tx, providerId, { status: 'cancelled' });
    return { connection: 'answer', answer: await now(tx, providerId) };
  });
}

/**
 * Gives money back; the answer is the charge after it, with the refund. A refusal is stored like any answer: a key
 * that was told no is never paid later.
 */
export function refund(
  db: Databases['gateway'],
  claim: Claim,
  providerId: string,
  amount: Money,
  fault: Fault | undefined,
): Promise<Outcome> {
  return db.$transaction(async (tx) => {
    const { captured } = await mustLock(tx, providerId);
    if (captured === null) {
      return storeAnswer(tx, claim, errorAnswer('not_captured', 'this charge holds no money'));
    }
    if (captured.currency !== amount.currency) {
      return storeAnswer(tx, claim, errorAnswer('currency_mismatch', `captured in ${captured.currency}`));
    }
    const left = captured.minor - (await promisedMinor(tx, providerId));
    if (amount.minor > left) {
      return storeAnswer(tx, claim, errorAnswer('refund_exceeds_capture', `${left} minor units are left`));
    }
    const started = await startRefund(tx, providerId, claim.key, amount, pendingOf(fault));
    const { status, body } = await now(tx, providerId);
    return storeAnswer(tx, claim, { status, body: { ...body, refund: started } });
  });
}

/** The refunds of a charge under one key, as they are now. */
export function listRefunds(db: Databases['gateway'], providerId: string, refundKey: string): Promise<Outcome> {
  return db.$transaction(async (tx) => {
    await mustLock(tx, providerId);
    const body = { items: await refundsUnder(tx, providerId, refundKey) };
    return { connection: 'answer', answer: { status: 200, body } };
  });
}

function pendingOf(fault: Fault | undefined): PendingRefund | undefined {
  if (fault?.kind !== 'pending') return undefined;
  return { endsInMs: fault.ms, failureCode: fault.mode === 'failed' ? REFUND_FAILURE : null };
}

const now = async (tx: SqlTransaction, providerId: string) => ({
  status: 200,
  body: charges.charged(await mustLock(tx, providerId)),
});
