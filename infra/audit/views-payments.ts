import { TOLD_STATUS } from './views-orders.ts';
import type { ViewRule } from './views-rows.ts';

/** Payments from the payment service. */
export const PAYMENT_RULES: readonly ViewRule[] = [
  {
    ...{ view: 'payments', table: 'mv_payments', key: { payment_id: 'uuid' }, from: 'payment' },
    is: `select payment_id, order_id, user_id, amount, currency, status, payment_method, payment_provider,
        captured_amount, captured_currency, refunded_amount, failure_code, captured_at at time zone 'utc' as captured_at,
        payment_version
      from mv_payments`,
    shouldBe: `select id as payment_id, order_id, user_id, amount, currency, ${TOLD_STATUS} as status,
        method as payment_method, provider as payment_provider,
        case when captured_currency is not null then coalesce(captured_amount, 0) end as captured_amount,
        captured_currency, refunded_amount, failure_code, captured_at at time zone 'utc' as captured_at,
        version as payment_version
      from payments`,
    toldBy: { aggregate: 'payment', idOf: (row) => String(row['payment_id']) },
  },
];
