import type { ReadEvent } from '../events/read-event.ts';
import type { SqlTransaction } from '../infra/databases.ts';
import { factOf, newestBy, ofTypes, PAYMENT_EVENTS } from './facts.ts';
import type { View } from './view.ts';

/** Payments as their newest event says they are (source document 4): one aggregate, one row, one version. */
export const payments: View = {
  name: 'payments',
  takes: PAYMENT_EVENTS,
  async apply(tx, events) {
    const all = ofTypes(events, PAYMENT_EVENTS);
    await savePayments(tx, newestBy(all, ({ data }) => data.paymentId).map(factOf));
    const captures = all.filter(isCapture).map(factOf);
    if (captures.length > 0) await saveCaptures(tx, captures);
  },
};

type PaymentEvent = Extract<ReadEvent, { type: (typeof PAYMENT_EVENTS)[number] }>;
type Payment = ReturnType<typeof factOf<PaymentEvent>>;

/** Money was taken: as it was asked for, or as other money than was asked for, which makes the payment fail. */
const isCapture = ({ type, data }: PaymentEvent): boolean =>
  type === 'PaymentCompleted' || (type === 'PaymentFailed' && data.capturedCurrency !== null);

/** Rows in key order, so that nobody waits in a circle. */
const savePayments = (tx: SqlTransaction, payments: readonly Payment[]) => tx.$executeRaw`
  insert into mv_payments as v (payment_id, order_id, user_id, amount, currency, status, payment_method,
    payment_provider, captured_amount, captured_currency, refunded_amount, failure_code, payment_version)
  select e."paymentId", e."orderId", e."userId", e."amountMinor", e.currency, e.status, e.method, e.provider,
    case when e."capturedCurrency" is not null then e."capturedMinor" end, e."capturedCurrency", e."refundedMinor",
    e."failureCode", e.version
  from jsonb_to_recordset(${JSON.stringify(payments)}::jsonb)
    as e ("paymentId" uuid, "orderId" uuid, "userId" bigint, "amountMinor" bigint, currency text, status text,
      method text, provider text, "capturedMinor" bigint, "capturedCurrency" text, "refundedMinor" bigint,
      "failureCode" text, version bigint)
  order by e."paymentId"
  on conflict (payment_id) do update
  set status = excluded.status, captured_amount = excluded.captured_amount,
    captured_currency = excluded.captured_currency, refunded_amount = excluded.refunded_amount,
    failure_code = excluded.failure_code, payment_version = excluded.payment_version, synced_at = now()
  where v.payment_version < excluded.payment_version`;

/** When money was taken last. Later versions do not say it, so it must not be lost when one of them comes first. */
const saveCaptures = (tx: SqlTransaction, captures: readonly Payment[]) => tx.$executeRaw`
  update mv_payments v
  set captured_at = greatest(v.captured_at, e.at), synced_at = now()
  from (
    select c."paymentId", max(c.time) as at
    from jsonb_to_recordset(${JSON.stringify(captures)}::jsonb) as c ("paymentId" uuid, time timestamptz)
    group by c."paymentId"
  ) as e
  where v.payment_id = e."paymentId" and (v.captured_at is null or v.captured_at < e.at)`;
