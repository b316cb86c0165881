import assert from 'node:assert/strict';

import type { DatabaseName } from '../../infra/config.ts';
import { type AuditedShop, MUG, SIMPLE } from './audited-shop.ts';

/** What is planted about one order: names in braces are its ids, and one that is nobody's. */
export type Planted = Readonly<{
  what: string;
  made: keyof typeof MADE;
  damage: readonly (readonly [DatabaseName, string])[];
  /** Each row that is named, with its invariant: what it says that is, and that should be. */
  named: Readonly<Record<string, RegExp>>;
}>;

const CART = [
  { item: MUG, quantity: 2 },
  { item: SIMPLE, quantity: 1 },
];
/** What an order has come to, by the steps of the saga. */
export const MADE = {
  captured: async (shop: AuditedShop) => {
    const input = await shop.steps.place(CART);
    await shop.steps.capture(input);
    return input;
  },
  paid: (shop: AuditedShop) => shop.paid(CART),
  'refunded in part': async (shop: AuditedShop) => {
    const input = await shop.paid(CART);
    const { refundId } = await shop.refunded(input, { lines: [{ lineNo: 1, quantity: 1, restock: false }] });
    return { ...input, refundId };
  },
  'refunded whole': async (shop: AuditedShop) => {
    const input = await shop.paid(CART);
    return { ...input, ...(await shop.refunded(input, {})) };
  },
  'paid, and its refund refused': async (shop: AuditedShop) => {
    const input = await shop.paid(CART);
    await assert.rejects(shop.begun(input, { amount: { minor: 100_000_000, currency: 'KRW' } }));
    return input;
  },
  declined: (shop: AuditedShop) => shop.declined(),
  'given back': (shop: AuditedShop) => shop.cancelled(),
  'out of stock': (shop: AuditedShop) => shop.outOfStock(),
  abandoned: (shop: AuditedShop) => shop.abandoned(),
} as const;

const platform = (sql: string) => ['platform', sql] as const;
const order = (sql: string) => ['order', sql] as const;
const payment = (sql: string) => ['payment', sql] as const;
const gateway = (sql: string) => ['gateway', sql] as const;
const setHeader = (set: string) => platform(`update inventory_orders set ${set} where order_id = '{order}'`);
const setOrder = (set: string) => order(`update orders set ${set} where id = '{order}'`);
const setPayment = (set: string) => payment(`update payments set ${set} where order_id = '{order}'`);
const lostMovement = (type: string) =>
  platform(
    `update inventory_events set reference_type = 'OTHER' where reference_id = '{order}' and event_type = '${type}'`,
  );
const setAnswer = (path: string, json: string) => setHeader(`answer = jsonb_set(answer, '{${path}}', '${json}')`);
const setRequest = (set: string) => payment(`update refund_requests set ${set} where id = '{refund}'`);

export const PLANTED: readonly Planted[] = [
  // 2: header, reservations and ledger of an order.
  {
    ...{ what: 'a header that is of another state than its lines', made: 'declined' },
    damage: [setHeader(`state = 'REFUSED'`)],
    named: { '2 order {order}': /header REFUSED, reservation of 101 2 RELEASED, / },
  },
  {
    ...{ what: 'lines without a header', made: 'paid' },
    damage: [platform(`delete from inventory_orders where order_id = '{order}'`)],
    named: {
      '2 order {order}': /header none, reservation of 101 2 COMMITTED, /,
      '3 order {order}': /order PAID .*stock none → .*stock COMMITTED/,
      '9 order {order}': /an order whose request is not on record/,
    },
  },
  {
    ...{ what: 'movements without lines', made: 'declined' },
    damage: [platform(`delete from inventory_reservations where order_id = '{order}'`)],
    named: { '2 order {order}': /header none, reservation of 101 none, .*ledger RESERVED 2, COMMITTED 0, RELEASED 2/ },
  },
  {
    ...{ what: 'COMMITTED stock without lines or movements', made: 'paid' },
    damage: [
      platform(`delete from inventory_reservations where order_id = '{order}'`),
      ...['RESERVED', 'COMMITTED'].map(lostMovement),
    ],
    named: { '2 order {order}': /^header COMMITTED without a reservation →/ },
  },
  {
    ...{ what: 'a header that decided nothing', made: 'out of stock' },
    damage: [setHeader('state = null, answer = null')],
    named: { '2 order {order}': /^header undecided without a reservation →/ },
  },
  ...(
    [
      ['RESERVED', 'paid', /COMMITTED, returned 0, ledger RESERVED 0, COMMITTED 2, RELEASED 0/],
      ['COMMITTED', 'paid', /COMMITTED, returned 0, ledger RESERVED 2, COMMITTED 0, RELEASED 0/],
      ['RELEASED', 'declined', /RELEASED, returned 0, ledger RESERVED 2, COMMITTED 0, RELEASED 0/],
    ] as const
  ).map(([type, made, said]): Planted => ({
    ...{ what: `a line that the ledger never saw ${type}`, made, damage: [lostMovement(type)] },
    named: { '2 order {order}': said },
  })),
  {
    ...{ what: 'a line of another quantity than the ledger moved', made: 'paid' },
    damage: [platform(`update inventory_reservations set quantity = 3 where order_id = '{order}' and line_no = 1`)],
    named: { '2 order {order}': /reservation of 101 3 COMMITTED, returned 0, ledger RESERVED 2, COMMITTED 2/ },
  },

  // 3: paid, captured and committed are one.
  {
    ...{ what: 'a capture of an order that is not paid', made: 'captured' },
    damage: [],
    named: {
      '3 order {order}': /^order PENDING .*CAPTURED, captured \d+ KRW, .*stock RESERVED → an order that is PAID/,
      '6 order {order}': /^PENDING, and no workflow/,
      '6 reserved stock of order {order}': /^RESERVED, and no workflow/,
    },
  },
  {
    ...{ what: 'a capture that is partly refunded, of an order that is not paid', made: 'refunded in part' },
    damage: [setOrder(`status = 'PENDING'`), platform(`delete from inventory_orders where order_id = '{order}'`)],
    named: {
      '2 order {order}': /header none/,
      '3 order {order}': /^order PENDING .*PARTIALLY_REFUNDED, .*stock none → an order that is PAID or refunded, or no/,
      '6 order {order}': /^PENDING/,
      '9 order {order}': /not on record/,
    },
  },
  {
    ...{ what: 'committed stock of an order that failed', made: 'declined' },
    damage: [setHeader(`state = 'COMMITTED'`)],
    named: {
      '2 order {order}': /header COMMITTED/,
      '3 order {order}': /^order FAILED .*stock COMMITTED → an order that is PAID/,
    },
  },
  {
    ...{ what: 'a paid order that knows another payment', made: 'paid' },
    damage: [setOrder(`payment_id = '{stranger}'`)],
    named: {
      '3 order {order}': /^order PAID .*CAPTURED.* → one payment CAPTURED \d+ KRW, refunded 0, under both marks/,
    },
  },
  {
    ...{ what: 'a paid order whose mark says otherwise', made: 'paid' },
    damage: [order(`update order_marks set state = 'CREATED' where order_id = '{order}'`)],
    named: { '3 order {order}': /^order PAID .*\(mark CREATED\).* under both marks/ },
  },
  {
    ...{ what: 'a capture that was decided otherwise', made: 'paid' },
    damage: [payment(`update payment_marks set decision = 'ABANDONED' where order_id = '{order}'`)],
    named: { '3 order {order}': /\(mark ABANDONED\); stock COMMITTED → .* under both marks/ },
  },
  {
    ...{ what: 'an order and a payment that gave back different sums', made: 'refunded in part' },
    damage: [setOrder('refunded_amount = refunded_amount + 1')],
    named: {
      '3 order {order}': /^order PARTIALLY_REFUNDED \d+ KRW, refunded \d+1 .*payment {payment} PARTIALLY_REFUNDED/,
    },
  },
  {
    ...{ what: 'an order with two payments that were given back whole', made: 'refunded whole' },
    damage: [
      payment(`insert into payments (id, order_id, user_id, provider, method, status, amount, currency, captured_amount,
        captured_currency, captured_at, idempotency_key)
        select 'ffffffff-ffff-ffff-ffff-ffffffffffff', order_id, user_id, provider, method, status, amount, currency, 0,
          captured_currency, now(), 'twice' from payments where order_id = '{order}'`),
    ],
    named: { '3 order {order}': /payment ffffffff-\S+ REFUNDED, captured 0 .* → one payment REFUNDED/ },
  },
  {
    ...{ what: 'money given back, and the order was not told', made: 'given back' },
    damage: [
      order(`delete from order_status_history where order_id = '{order}' and source_id = 'settlement:{payment}'`),
    ],
    named: {
      '3 refund {settlement}': /^SUCCEEDED, and the order does not know → a line settlement:{payment} in the history/,
    },
  },
  {
    ...{ what: 'money given back, and the order was told of another payment', made: 'given back' },
    damage: [
      order(`update order_status_history set source_id = 'settlement:{stranger}'
        where order_id = '{order}' and source_id = 'settlement:{payment}'`),
    ],
    named: { '3 refund {settlement}': /the order does not know/ },
  },

  // 4: closed or missing means that nothing is held.
  {
    ...{ what: 'stock reserved for an order that nobody made', made: 'abandoned' },
    damage: [setHeader(`state = 'RESERVED', answer = '{"code":"CHECKOUT_CANCELLED"}'`)],
    named: {
      '2 order {order}': /header RESERVED/,
      '4 order {order}': /^no order \(mark CLOSED\); no payment .*stock RESERVED → no stock RESERVED/,
      '6 reserved stock of order {order}': /^RESERVED/,
    },
  },
  {
    ...{ what: 'a payment of a closed order that keeps money', made: 'given back' },
    damage: [setPayment('refunded_amount = refunded_amount - 1')],
    named: {
      '4 order {order}': /^order CANCELLED .*REFUNDED, captured \d+ KRW, refunded \d+ .*captured less refunded is 0/,
      '5 payment {payment}': /as by its refunds; .*as in the gateway's ledger/,
    },
  },
  {
    ...{ what: 'a closed order whose mark says otherwise', made: 'declined' },
    damage: [order(`update order_marks set state = 'CREATED' where order_id = '{order}'`)],
    named: { '4 order {order}': /^order FAILED .*\(mark CREATED\).* → mark CLOSED, as the order is FAILED/ },
  },
  {
    ...{ what: 'money that only the gateway keeps, of a closed order', made: 'given back' },
    damage: [gateway(`delete from ledger_entries where order_id = '{order}' and type = 'REFUND'`)],
    named: {
      '4 order {order}':
        /^the gateway keeps \d+ KRW of charge \S+ → nothing kept for an order that is closed or missing$/,
      '5 payment {payment}':
        /refunded [1-9]\d* at provider simulated, charge \S+ → captured \d+ KRW, refunded 0, as in/,
    },
  },
  {
    ...{ what: 'money that only the gateway keeps, of an order that nobody made', made: 'abandoned' },
    damage: [
      gateway(`insert into charges (id, order_id, amount, currency, status, captured_amount, captured_currency)
        values ('ch_kept', '{order}', 70, 'KRW', 'captured', 70, 'KRW');
        insert into ledger_entries (charge_id, order_id, type, amount, currency)
        values ('ch_kept', '{order}', 'CAPTURE', 70, 'KRW')`),
    ],
    named: {
      '4 order {order}': /^the gateway keeps 70 KRW of charge ch_kept →/,
      '5 charge ch_kept': /^no payment of order {order} knows it → captured 70 KRW, refunded 0/,
    },
  },

  // 5: the gateway's ledger, the payments and their refunds.
  {
    ...{ what: 'a capture in another currency than the gateway took', made: 'paid' },
    damage: [setPayment(`captured_currency = 'USD'`)],
    named: { '3 order {order}': /captured \d+ USD/, '5 payment {payment}': /^captured \d+ USD.* → captured \d+ KRW/ },
  },
  {
    ...{ what: 'a refund of which the gateway gave back less', made: 'refunded in part' },
    damage: [gateway(`update ledger_entries set amount = amount - 1 where order_id = '{order}' and type = 'REFUND'`)],
    named: { '5 payment {payment}': /^captured (\d+) KRW, refunded \d+0 .* → captured \1 KRW, refunded \d+9, as in/ },
  },
  {
    ...{ what: 'a payment without money, of which the gateway took some', made: 'declined' },
    damage: [
      gateway(`insert into ledger_entries (charge_id, order_id, type, amount, currency, refund_key)
        select id, order_id, t, 70, 'KRW', case t when 'REFUND' then 'r' end
        from charges, unnest(array['CAPTURE', 'REFUND']) t where order_id = '{order}'`),
    ],
    named: {
      '5 payment {payment}': /^nothing captured at provider simulated, charge \S+ → captured 70 KRW, refunded 70/,
    },
  },
  {
    ...{ what: 'a payment whose money the gateway took for another order', made: 'refunded whole' },
    damage: [gateway(`update ledger_entries set order_id = '{stranger}' where order_id = '{order}'`)],
    named: {
      '5 payment {payment}': /^captured (\d+ KRW, refunded \d+) at .* → captured \1 of order {stranger}, as in/,
    },
  },

  // 6: what is open. Refunds and webhooks: see the audit's other tests.
  ...(['PENDING', 'AWAITING_CONFIRMATION', 'IN_DOUBT'] as const).map((status): Planted => ({
    ...{ what: `a payment that is ${status}`, made: 'declined', damage: [setPayment(`status = '${status}'`)] },
    named: { '6 payment {payment}': new RegExp(`^${status}, and no workflow of it runs → settled with the gateway`) },
  })),
  {
    ...{ what: 'stock that a line alone says is reserved', made: 'paid' },
    damage: [
      platform(`update inventory_reservations set state = 'RESERVED' where order_id = '{order}' and line_no = 2`),
    ],
    named: {
      '2 order {order}': /header COMMITTED, reservation of 102 1 RESERVED/,
      '2 stock 102-0-MAIN': /^available \d+, reserved (\d+) → available at least 0, reserved \d+: the sum/,
      '6 reserved stock of order {order}': /^RESERVED/,
    },
  },

  // 9: the stored answer is the order.
  {
    ...{ what: 'an order of another customer than asked', made: 'paid' },
    damage: [setOrder('user_id = 2')],
    named: { '9 order {order}': /^order of customer 2, .* → of customer 1, .* as in the header/ },
  },
  {
    ...{ what: 'an answer in another currency', made: 'paid' },
    damage: [setAnswer('total,currency', '"USD"')],
    named: { '9 order {order}': /^stored answer: \d+ USD at .* → the order: \d+ KRW at/ },
  },
  {
    ...{ what: 'an answer of another instant', made: 'paid' },
    damage: [setAnswer('placedAt', '"2026-01-01T00:00:00.000Z"')],
    named: { '9 order {order}': /^stored answer: \d+ KRW at 2026-01-01T00:00:00.000Z / },
  },
  ...(
    [
      ['quantity', '7', /x7 @/],
      ['locationCode', '"OTHER"', /101\/1011\/OTHER/],
      ['variantId', '"9"', /101\/9\/MAIN/],
      ['unitPrice,minor', '1', / @1 = /],
    ] as const
  ).map(([path, json, said]): Planted => ({
    ...{ what: `an answer whose line has another ${path}`, made: 'paid', damage: [setAnswer(`lines,0,${path}`, json)] },
    named: { '9 order {order}': new RegExp(`^stored answer: [^→]*${said.source}`) },
  })),
  {
    ...{ what: 'an answer with a line less than the order', made: 'paid' },
    damage: [setHeader(`answer = answer #- '{lines,1}'`)],
    named: { '9 order {order}': /^stored answer: / },
  },
  {
    ...{ what: 'a refund although its request was refused', made: 'refunded in part' },
    damage: [setRequest(`answer = '{"code":"REFUND_EXCEEDS_CAPTURE","message":"no"}'`)],
    named: { '9 refund {refund}': /^stored answer: refused: REFUND_EXCEEDS_CAPTURE → the refund: \d+ KRW of payment/ },
  },
  {
    ...{ what: 'a refund that was asked for another order', made: 'refunded in part' },
    damage: [setRequest(`order_id = '{stranger}'`)],
    named: { '9 refund {refund}': /^stored answer: no request →|→ the refund: no refund$/ },
  },
  {
    ...{ what: 'a refund that was granted of another payment', made: 'refunded in part' },
    damage: [setRequest(`answer = jsonb_set(answer, '{paymentId}', '"{stranger}"')`)],
    named: {
      '9 refund {refund}': /of payment {stranger} for 1 of line 1 → the refund: \d+ KRW of payment {payment} for/,
    },
  },
  {
    ...{ what: 'a refund whose units were to go on sale again', made: 'refunded in part' },
    damage: [setRequest(`answer = jsonb_set(answer, '{lines,0,restock}', 'true')`)],
    named: { '9 refund {refund}': /for 1 of line 1, restocked → .* for 1 of line 1$/ },
  },

  // What looks odd and breaks nothing.
  {
    ...{ what: 'nothing of an order that was closed after its request was refused', made: 'declined' },
    damage: [setHeader(`answer = '{"code":"CHECKOUT_FAILED","message":"given up"}'`)],
    named: {},
  },
  {
    ...{ what: 'nothing of a payment decided CAPTURED whose money went back because the order was cancelled' },
    ...{ made: 'given back', damage: [], named: {} },
  },
  {
    ...{ what: 'nothing of a refund that was refused', made: 'paid, and its refund refused', damage: [], named: {} },
  },
];
