import type { Finding } from './finding.ts';
import type { Snapshot } from './snapshot.ts';

/**
 * Invariant 9, for refunds: every refund that somebody asked for has one request, whose stored answer is that refund, line
 * by line; a request that was refused has none. Settlements are nobody's request: they are named after their order.
 *
 * @param only order ids to look at; all when null
 */
export async function refundsThatAreNotTheirAnswer(
  payment: Snapshot,
  only: readonly string[] | null,
): Promise<Finding[]> {
  const rows = await payment.query<Readonly<{ id: string; orderId: string; answered: string; real: string }>>(
    `with answered as (
       select id, order_id, case
         when answer is null then 'a request without an answer'
         when answer ->> 'code' is not null then 'refused: ' || (answer ->> 'code')
         else format('%s %s of payment %s for %s', answer #>> '{amount,minor}', answer #>> '{amount,currency}',
           answer ->> 'paymentId', coalesce(
             (select ${linesText(`(l ->> 'lineNo')::int`, `l ->> 'quantity'`, `(l ->> 'restock')::boolean`)}
              from jsonb_array_elements(answer -> 'lines') as l), 'no lines'))
         end as answered
       from refund_requests
     ), real as (
       select r.id, p.order_id, format('%s %s of payment %s for %s', r.amount, r.currency, r.payment_id, coalesce(
         (select ${linesText('l.line_no', 'l.quantity', 'l.restock')} from refund_lines l where l.refund_id = r.id),
         'no lines')) as real
       from refunds r join payments p on p.id = r.payment_id
       where r.refund_key = r.id::text
     ), both_sides as (
       select coalesce(a.id, r.id) as id, coalesce(a.order_id, r.order_id) as order_id,
         coalesce(a.answered, 'no request') as answered, coalesce(r.real, 'no refund') as real
       from answered a full join real r on r.id = a.id and r.order_id = a.order_id
     )
     select id::text, order_id::text as "orderId", answered, real from both_sides
     where answered <> real and not (answered like 'refused: %' and real = 'no refund')
       and ($1::uuid[] is null or order_id = any($1))
     order by id limit 10001`,
    [only],
  );
  return rows.map(({ id, orderId, answered, real }) => ({
    ...{
      invariant: 9,
      row: `refund ${id}`,
      orderId,
      is: `stored answer: ${answered}`,
      shouldBe: `the refund: ${real}`,
    },
  }));
}

/** Returned lines as one text, the same from a stored answer and from the rows. */
function linesText(lineNo: string, quantity: string, restock: string): string {
  return `string_agg(format('%s of line %s%s', ${quantity}, ${lineNo}, case when ${restock} then ', restocked' else '' end),
    '; ' order by ${lineNo})`;
}

/** How many requests for refunds there are. */
export async function countRefundRequests(payment: Snapshot): Promise<number> {
  const [row] = await payment.query<{ count: string }>(`select count(*)::text as count from refund_requests`);
  return Number(row?.count);
}
