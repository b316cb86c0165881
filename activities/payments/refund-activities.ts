import { CheckoutError, isRefusal, type Refusal } from '../../domain/errors.ts';
import { type BegunRefund, decideRefund, type RefundRequest } from '../../domain/refund.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { GatewayRefusal } from '../../infra/payment-gateway/port.ts';
import { safeNumber } from '../../infra/rows.ts';
import { throwRefusal, withRefusals } from '../refusals.ts';
import type { BeginRefundInput, PaymentDeps, RefundActivities, RefundRef } from './contract.ts';
import * as table from './refund-tables.ts';
import { bookRefunds } from './tables.ts';

export type RefundDeps = Pick<PaymentDeps, 'payment' | 'gateway' | 'signal'>;
type Ending = Parameters<RefundActivities['finishRefund']>[0];

/** The payment service's half of a refund (task queue `payments`). Each step is harmless when it is repeated. */
export const refundActivities = (deps: RefundDeps): RefundActivities =>
  withRefusals({
    /** @throws CheckoutError after the commit, so that the refusal is on record before anyone hears of it */
    async beginRefund(input: BeginRefundInput): Promise<BegunRefund> {
      const answer = await deps.payment.$transaction((tx) => begin(tx, input));
      return isRefusal(answer) ? throwRefusal(answer) : answer;
    },

    refundAtGateway: ({ refundId }: RefundRef) => askGateway(deps, refundId),

    finishRefund: (ending: Ending): Promise<void> => deps.payment.$transaction((tx) => finish(tx, ending)),
  });

async function begin(tx: SqlTransaction, input: BeginRefundInput): Promise<BegunRefund | Refusal> {
  const { refundId, orderId, request } = input;
  if (request !== null) await table.insertRequest(tx, { ...request, refundId, orderId });
  const decision = await table.lockRequest(tx, refundId);
  if (decision === undefined) return notFound(refundId);
  if (request !== null && (decision.requestHash !== request.requestHash || decision.orderId !== orderId)) {
    return { code: 'IDEMPOTENCY_KEY_REUSED', message: 'this key belongs to another request' };
  }
  if (decision.answer !== null) return decision.answer;
  // An answer is stored with its row: without one nobody was told of this refund.
  if (request === null) return notFound(refundId);

  const answer = await decide(tx, input, request);
  await table.storeRequestAnswer(tx, refundId, answer);
  return answer;
}

async function decide(
  tx: SqlTransaction,
  { refundId, orderId, lines }: BeginRefundInput,
  { amount: asked, reason, by, requestHash }: RefundRequest,
): Promise<BegunRefund | Refusal> {
  await table.lockPaymentOf(tx, orderId);
  const refundable = await table.readRefundable(tx, orderId);
  if (refundable === undefined) {
    return { code: 'ORDER_NOT_REFUNDABLE', message: `order ${orderId} has no captured payment` };
  }
  const amount = decideRefund(asked, lines, refundable);
  if (isRefusal(amount)) return amount;
  const returned = lines.map(({ lineNo, quantity, restock }) => ({ lineNo, quantity, restock }));
  const refund = {
    refundId,
    orderId,
    paymentId: refundable.paymentId,
    amount,
    reason,
    by,
    requestHash,
    lines: returned,
  };
  await table.insertRefund(tx, refund);
  return refund;
}

async function askGateway({ payment, gateway, signal }: RefundDeps, refundId: string) {
  const refund = await table.findRefund(payment, refundId);
  if (refund === undefined) throwRefusal(notFound(refundId));
  const { status, failureCode, provider, providerId, refundKey, currency, amountMinor } = refund;
  if (status !== 'PENDING') return { status, failureCode };
  // Another gateway would refuse a charge that it does not know, and the money would never be given back.
  if (provider !== gateway.provider || providerId === null) {
    throw new Error(`refund ${refundId} belongs to a charge of ${provider}, which this worker does not serve`);
  }
  try {
    const answer = await gateway.refund(providerId, refundKey, { minor: safeNumber(amountMinor), currency }, signal());
    if (answer.status === 'pending') throw new GatewayOutage(`the gateway still works on refund ${refundId}`);
    if (answer.status === 'succeeded') return { status: 'SUCCEEDED', failureCode: null } as const;
    return { status: 'FAILED', failureCode: answer.failureCode ?? 'failed' } as const;
  } catch (error) {
    if (!(error instanceof GatewayRefusal)) throw error;
    return { status: 'FAILED', failureCode: error.gatewayCode } as const;
  }
}

/** @throws CheckoutError REFUND_REFUSED when it has ended the other way: it cannot happen, a person must look */
async function finish(tx: SqlTransaction, { refundId, ...ending }: Ending): Promise<void> {
  const decision = await table.lockRequest(tx, refundId);
  if (decision === undefined) throwRefusal(notFound(refundId));
  await table.lockPaymentOf(tx, decision.orderId);
  const refund = await table.findRefund(tx, refundId);
  if (refund === undefined) throwRefusal(notFound(refundId));
  if (refund.status === ending.status) return;
  if (refund.status !== 'PENDING') {
    throw new CheckoutError('REFUND_REFUSED', `refund ${refundId} is ${refund.status}, it cannot be ${ending.status}`);
  }
  await table.endRefund(tx, refundId, ending);
  if (ending.status === 'FAILED') return;

  const booked = await bookRefunds(tx, refund.paymentId);
  if (!booked) throw new Error(`the payment of refund ${refundId} is not captured although the gateway refunded it`);
}

const notFound = (refundId: string): Refusal => ({ code: 'NOT_FOUND', message: `no refund ${refundId} is on record` });
