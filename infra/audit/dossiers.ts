import type { Snapshot, Snapshots } from './snapshot.ts';

/** What a shopper was promised. Amounts are minor units, as text. */
export type AnswerFacts = Readonly<{
  total: string | null;
  currency: string | null;
  placedAt: string | null;
  /** Every line in one text, the same wherever the line was stored. */
  lines: string | null;
}>;

/** Stock of an order, as its header in the platform says. All of the answer is null where it is a refusal, or nothing. */
export type HeaderFacts = Readonly<{
  orderId: string;
  state: string | null;
  userId: string | null;
  requestHash: string | null;
  /** The code of the stored refusal; null where the answer is an order, or nothing. */
  refusal: string | null;
}> &
  AnswerFacts;

/** The order and its mark, as the order service says. `status` and all after it are null where there is no order. */
export type OrderFacts = Readonly<{
  orderId: string;
  mark: string | null;
  /** The order as the mark remembers it, for a repeated step; null where it remembers none. */
  answer: AnswerFacts | null;
  status: string | null;
  orderNumber: string | null;
  userId: string | null;
  requestHash: string | null;
  refunded: string | null;
  paymentId: string | null;
}> &
  AnswerFacts;

export type PaymentFacts = Readonly<{ orderId: string; decision: string | null; payments: readonly OnePayment[] }>;
export type OnePayment = Readonly<{
  id: string;
  status: string;
  captured: string;
  refunded: string;
  currency: string | null;
}>;

/** Everything that the three services say about one order id; a service that never heard of it says nothing. */
export type Dossier = Readonly<{
  orderId: string;
  header: HeaderFacts | undefined;
  order: OrderFacts | undefined;
  payment: PaymentFacts | undefined;
}>;

const PAGE = 2_000;
/** Below every id that is ever made. */
const FIRST = '00000000-0000-0000-0000-000000000000';

/**
 * Merges the three databases by order id: three sorted streams, read page by page, so that memory does not grow with
 * the number of orders.
 *
 * @param only order ids to look at; all when null
 */
export async function* dossiers(from: Snapshots, only: readonly string[] | null): AsyncGenerator<Dossier> {
  const headers = stream(headersAfter, from.platform, only);
  const orders = stream(ordersAfter, from.order, only);
  const payments = stream(paymentsAfter, from.payment, only);
  let [header, order, payment] = [await headers.next(), await orders.next(), await payments.next()];
  for (;;) {
    const ids = [header, order, payment].flatMap(({ value }) => (value === undefined ? [] : [value.orderId]));
    // Lower-case UUIDs sort as text as they sort as UUIDs.
    const [orderId] = ids.sort();
    if (orderId === undefined) return;
    const dossier: { -readonly [K in keyof Dossier]: Dossier[K] } = {
      ...{ orderId, header: undefined, order: undefined, payment: undefined },
    };
    if (header.value?.orderId === orderId) [dossier.header, header] = [header.value, await headers.next()];
    if (order.value?.orderId === orderId) [dossier.order, order] = [order.value, await orders.next()];
    if (payment.value?.orderId === orderId) [dossier.payment, payment] = [payment.value, await payments.next()];
    yield dossier;
  }
}

type PageOf<Row> = (from: Snapshot, after: string, only: readonly string[] | null) => Promise<Row[]>;

async function* stream<Row extends Readonly<{ orderId: string }>>(
  pageAfter: PageOf<Row>,
  from: Snapshot,
  only: readonly string[] | null,
): AsyncGenerator<Row, undefined> {
  let after = FIRST;
  for (;;) {
    const rows = await pageAfter(from, after, only);
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    after = last.orderId;
  }
}

/** A line of a cart as text, the same from a stored answer and from an order. %L: names may hold any separator. */
const lineText = (parts: string): string => `format('%s: %s/%s/%s %L %L %L x%s @%s = %s', ${parts})`;

/** The lines of the stored answer in the column `answer`. */
const STORED_LINES = `(select string_agg(${lineText(`l ->> 'lineNo', l ->> 'productId', coalesce(l ->> 'variantId', '-'),
    l ->> 'locationCode', l ->> 'sku', l ->> 'name', l ->> 'variantName', l ->> 'quantity', l #>> '{unitPrice,minor}',
    l #>> '{lineTotal,minor}'`)}, ', ' order by position)
  from jsonb_array_elements(case jsonb_typeof(answer -> 'lines') when 'array' then answer -> 'lines' else '[]' end)
    with ordinality as a(l, position))`;

const headersAfter: PageOf<HeaderFacts> = (platform, after, only) =>
  platform.query<HeaderFacts>(
    `select order_id::text as "orderId", state, user_id::text as "userId", request_hash as "requestHash",
       answer ->> 'code' as refusal, answer #>> '{total,minor}' as total, answer #>> '{total,currency}' as currency,
       answer ->> 'placedAt' as "placedAt",
       ${STORED_LINES} as lines
     from inventory_orders
     where order_id > $1::uuid and ($2::uuid[] is null or order_id = any($2))
     order by order_id limit ${PAGE}`,
    [after, only],
  );

/**
 * Driven by marks and orders alike: one without the other must not be missed. `limit 1` keeps the planner from hashing
 * the whole table for every page.
 */
const ordersAfter: PageOf<OrderFacts> = (order, after, only) =>
  order.query<OrderFacts>(
    `with ids as (
       (select order_id from order_marks where order_id > $1::uuid and ($2::uuid[] is null or order_id = any($2))
        order by order_id limit ${PAGE})
       union
       (select id from orders where id > $1::uuid and ($2::uuid[] is null or id = any($2)) order by id limit ${PAGE})
       order by order_id limit ${PAGE}
     )
     select i.order_id::text as "orderId", m.state as mark, m.answer, o.status, o.order_number as "orderNumber",
       o.user_id::text as "userId", o.request_hash as "requestHash", o.total_amount::text as total,
       o.refunded_amount::text as refunded, o.currency::text, o.payment_id::text as "paymentId",
       to_char(o.placed_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "placedAt",
       (select string_agg(${lineText(`line_no, product_id, coalesce(variant_id::text, '-'), location_code,
         product_sku, product_name, variant_name, quantity, unit_price, line_total`)}, ', ' order by line_no)
        from order_items where order_id = i.order_id) as lines
     from ids i
     left join lateral (
       select state, case when answer is not null then jsonb_build_object('total', answer #>> '{total,minor}',
         'currency', answer #>> '{total,currency}', 'placedAt', answer ->> 'placedAt', 'lines', ${STORED_LINES})
         end as answer
       from order_marks where order_id = i.order_id limit 1) m on true
     left join lateral (select * from orders where id = i.order_id limit 1) o on true
     order by i.order_id`,
    [after, only],
  );

/** Driven by marks and payments alike. */
const paymentsAfter: PageOf<PaymentFacts> = (payment, after, only) =>
  payment.query<PaymentFacts>(
    `with ids as (
       (select order_id from payment_marks where order_id > $1::uuid and ($2::uuid[] is null or order_id = any($2))
        order by order_id limit ${PAGE})
       union
       (select distinct order_id from payments where order_id > $1::uuid and ($2::uuid[] is null or order_id = any($2))
        order by order_id limit ${PAGE})
       order by order_id limit ${PAGE}
     )
     select i.order_id::text as "orderId", m.decision, coalesce(p.payments, '[]') as payments
     from ids i
     left join lateral (select decision from payment_marks where order_id = i.order_id limit 1) m on true
     left join lateral (
       select jsonb_agg(jsonb_build_object('id', id, 'status', status, 'captured', coalesce(captured_amount, 0)::text,
         'refunded', refunded_amount::text, 'currency', captured_currency) order by id) as payments
       from payments where order_id = i.order_id) p on true
     order by i.order_id`,
    [after, only],
  );
