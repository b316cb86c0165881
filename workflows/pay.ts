import type { Saga } from './saga.ts';
import { payments } from './services.ts';

/** Returns when the money is captured. */
export async function pay(saga: Saga): Promise<void> {
  const { input, placed } = saga;
  if (placed === undefined || !('order' in placed)) return;
  const { total, orderNumber } = placed.order;
  const { orderId, customerId, payment } = input;

  saga.reach('PAYING');
  const { paymentId } = await payments.capturePayment.executeWithOptions(
    { summary: `Charge ${total.minor} ${total.currency} for ${orderNumber}` },
    [{ orderId, customerId, amount: total, payment }],
  );
  saga.paymentId = paymentId;
}
