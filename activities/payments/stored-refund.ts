import { isRefusal, type Refusal } from '../../domain/errors.ts';
import type { BegunAnswer, BegunRefund } from '../../domain/refund.ts';
import type { Databases } from '../../infra/databases.ts';

/**
 * The answer that a refund request got when it was first made, a refusal too, for as long as the database lives. Undefined
 * for a refund that is not on record: its workflow may be about to write it.
 */
export async function storedRefund(payment: Databases['payment'], refundId: string): Promise<BegunAnswer | undefined> {
  const request = await payment.refundRequest.findUnique({ where: { id: refundId } });
  const answer = (request?.answer ?? null) as BegunRefund | Refusal | null;
  if (request === null || answer === null) return undefined;
  const { requestHash } = request;
  return isRefusal(answer) ? { requestHash, refusal: answer } : { requestHash, refund: answer };
}
