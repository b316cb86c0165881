import { isRefusal, type Refusal } from '../../domain/errors.ts';
import type { BegunRefund } from '../../domain/refund.ts';
import type { Databases } from '../../infra/databases.ts';
import type { RefundStatus } from './refund-tables.ts';

/** How far a refund has come. `failureCode` is the gateway's, and null unless it has FAILED. */
export type RefundProgress = Readonly<{ status: RefundStatus; failureCode: string | null }>;

/** What is on record of a refund request: the refund and what has become of it, or the recorded refusal. */
export type StoredRefund = Readonly<{ requestHash: string }> &
  (Readonly<{ refund: BegunRefund; progress: RefundProgress }> | Readonly<{ refusal: Refusal }>);

/**
 * The answer that a refund request got when it was first made, a refusal too, for as long as the database lives, and how
 * far its refund has come. Undefined for a refund that is not on record: its workflow may be about to write it.
 */
export async function storedRefund(payment: Databases['payment'], refundId: string): Promise<StoredRefund | undefined> {
  const request = await payment.refundRequest.findUnique({ where: { id: refundId } });
  const answer = (request?.answer ?? null) as BegunRefund | Refusal | null;
  if (request === null || answer === null) return undefined;
  const { requestHash } = request;
  if (isRefusal(answer)) return { requestHash, refusal: answer };
  const { status, failureCode } = await payment.refund.findUniqueOrThrow({ where: { id: refundId } });
  return { requestHash, refund: answer, progress: { status: status as RefundStatus, failureCode } };
}
