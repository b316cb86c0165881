import { allHandlersFinished, CancellationScope, condition } from '@temporalio/workflow';

import type { BegunRefund, RefundInput, RefundResult } from '../domain/refund.ts';
import { type OpenRefund, openRefund } from './open-refund.ts';
import { inRounds } from './rounds.ts';
import { surely } from './services.ts';

/**
 * Gives money back for a paid order, and puts returned units on sale again. A refusal is a result. It cannot be
 * cancelled: once it is on record, an end that is lost would leave the order's money in doubt.
 *
 * `finishRefund` is the last step: while the refund is PENDING the reconciler finds it, so whatever step was lost is
 * done by the next run. Each step is harmless when it is repeated.
 */
export async function refund(input: RefundInput): Promise<RefundResult> {
  const open = openRefund(input);
  return CancellationScope.nonCancellable(async () => {
    const result = await giveBack(open);
    open.work.note(result.code === undefined ? result.status : `${result.status}: ${result.code}`);
    open.work.finish();
    await condition(allHandlersFinished);
    return result;
  });
}

async function giveBack(open: OpenRefund): Promise<RefundResult> {
  const begun = await open.begin();
  if ('refusal' in begun) return { status: 'REFUSED', ...begun.refusal };

  const { refund: onRecord } = begun;
  const answer = await refundAtGateway(open, onRecord);
  const failureCode = answer.failureCode ?? 'REFUND_REFUSED';
  if (answer.status === 'SUCCEEDED') await bookReturn(open, onRecord);
  else await recordFailure(open, onRecord, failureCode);
  await inRounds('finishRefund', open.work.attention, () =>
    surely.payments.finishRefund.executeWithOptions({ summary: `Finish the refund: ${answer.status}` }, [
      { refundId: onRecord.refundId, ...answer },
    ]),
  );
  if (answer.status === 'SUCCEEDED') return { status: 'SUCCEEDED' };
  return { status: 'FAILED', code: failureCode };
}

/** An operator who marks it done says that the money is with the shopper. */
async function refundAtGateway({ work }: OpenRefund, { refundId, amount }: BegunRefund) {
  const answer = await inRounds('refundAtGateway', work.attention, () =>
    surely.payments.refundAtGateway.executeWithOptions({ summary: `Give back ${amount.minor} ${amount.currency}` }, [
      { refundId },
    ]),
  );
  return answer ?? ({ status: 'SUCCEEDED', failureCode: null } as const);
}

/** What the order and the stock must know. One does not wait for the other. */
async function bookReturn({ work }: OpenRefund, { refundId, orderId, amount, reason, by, lines }: BegunRefund) {
  const restocked = lines.filter(({ restock }) => restock).map(({ lineNo, quantity }) => ({ lineNo, quantity }));
  const booked = inRounds('recordRefund', work.attention, () =>
    surely.orders.recordRefund.executeWithOptions({ summary: 'Book the refund on the order' }, [
      { orderId, refundId, amount, reason, by },
    ]),
  );
  if (restocked.length === 0) return booked;
  const stocked = inRounds('restock', work.attention, () =>
    surely.inventory.restock.executeWithOptions({ summary: `Put ${restocked.length} lines on sale again` }, [
      { refundId, orderId, lines: restocked },
    ]),
  );
  await Promise.all([booked, stocked]);
}

/** The order keeps its money and its state; whoever reads its history learns that somebody tried. */
async function recordFailure(
  { work }: OpenRefund,
  { refundId, orderId, amount, reason, by }: BegunRefund,
  failureCode: string,
): Promise<void> {
  await inRounds('recordRefundFailure', work.attention, () =>
    surely.orders.recordRefundFailure.executeWithOptions(
      { summary: `Record that the gateway refused: ${failureCode}` },
      [{ orderId, refundId, amount, reason, by, failureCode }],
    ),
  );
}
