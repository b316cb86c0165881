import type { SagaEnd } from './checkout.ts';

export type OrderStatus = 'PENDING' | 'PAID' | 'FAILED' | 'CANCELLED' | 'PARTIALLY_REFUNDED' | 'REFUNDED';

/** The state in which a checkout that did not pay leaves its order. */
export const closedStatusOf = (end: SagaEnd['status']): 'FAILED' | 'CANCELLED' =>
  end === 'REJECTED' ? 'FAILED' : 'CANCELLED';

/**
 * What an order says about its payment: the order service never reads the payment database.
 *
 * @param awaited true once the order was told how the shopper must pay
 */
export function paymentStatusOf(status: OrderStatus, awaited: boolean): string {
  if (status === 'PENDING' && awaited) return 'AWAITING_CONFIRMATION';
  return status === 'PAID' ? 'CAPTURED' : status;
}
