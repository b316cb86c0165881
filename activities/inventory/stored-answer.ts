import { type PlacedAnswer, placedOrder, type Reservation } from '../../domain/checkout.ts';
import { isRefusal, type Refusal } from '../../domain/errors.ts';
import type { Databases } from '../../infra/databases.ts';

/** What the header of an order says. `customerId`: who asked, `users.id`. */
export type StoredAnswer = (PlacedAnswer | Readonly<{ requestHash: string; underWay: true }>) &
  Readonly<{ customerId: string | null }>;

/**
 * The answer that a request got when it was first made, for as long as the database lives: Temporal's retention is
 * not deduplication. While stock is reserved the checkout is under way and the workflow knows the answer, because the
 * order may not be made yet; whose request it is, is certain already. Undefined for an order that is not known.
 */
export async function storedAnswer(
  platform: Databases['platform'],
  orderId: string,
): Promise<StoredAnswer | undefined> {
  const header = await platform.inventoryOrder.findUnique({ where: { orderId } });
  if (header === null || header.requestHash === null || header.state === null) return undefined;
  const whose = { requestHash: header.requestHash, customerId: header.userId?.toString() ?? null };
  if (header.state === 'RESERVED') return { ...whose, underWay: true };
  const answer = header.answer as Reservation | Refusal | null;
  if (answer === null) return undefined;
  return isRefusal(answer) ? { ...whose, refusal: answer } : { ...whose, order: placedOrder(orderId, answer) };
}
