import { declinedTooOften } from '../activities/orders/read.ts';
import type { CheckoutInput } from '../domain/checkout.ts';
import { CheckoutError } from '../domain/errors.ts';
import type { ApiDeps } from './deps.ts';
import { isOutage, within } from './outage.ts';

/** Soon enough that a checkout can still be answered in time. Milliseconds. */
const LOOK_LIMIT_MS = 2_000;

/**
 * Against those who try out cards that are not theirs: whoever had too many declined within an hour pays with none for a
 * while. What is under way meanwhile is not counted, and there may be only so many open checkouts. An outage opens this
 * limit alone: without that database no card is tried either.
 *
 * @throws CheckoutError TOO_MANY_REQUESTS with the seconds to wait as its detail
 */
export async function refuseCardTesting(
  { config, databases }: Pick<ApiDeps, 'config' | 'databases'>,
  { customerId, payment }: Pick<CheckoutInput, 'customerId' | 'payment'>,
): Promise<void> {
  if (payment.method !== 'card') return;
  const asked = { customerId, limit: config.declinedCardsPerHour };
  const seconds = await within(LOOK_LIMIT_MS, declinedTooOften(databases.order, asked)).catch((error: unknown) => {
    if (isOutage(error)) return undefined;
    throw error;
  });
  if (seconds === undefined) return;
  throw new CheckoutError('TOO_MANY_REQUESTS', 'too many cards were declined; try again later', {
    retryAfterS: Math.max(seconds, 1),
  });
}
