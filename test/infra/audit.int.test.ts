import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { checkoutWorkflowId, repairWorkflowId } from '../../domain/workflow-ids.ts';
import { paymentIdFor } from '../../events/ids.ts';
import type { Audited } from '../../infra/audit/audit.ts';
import { type AuditedShop, brokenIn, MUG, openAuditedShop } from '../support/audited-shop.ts';
import { checkoutInput } from '../support/shop.ts';

describe('the audit', function () {
  this.timeout(60_000);
  let shop: AuditedShop;
  /** What earlier tests have broken. */
  let known: Set<string>;

  before(async () => {
    shop = await openAuditedShop();
    await shop.oneOfEach();
  });
  after(() => shop.close());
  beforeEach(async () => {
    known = new Set(brokenIn(await shop.audit()));
  });

  /** What this test has broken. */
  const newIn = (audited: Audited) => audited.findings.filter((one) => !known.has(`${one.invariant} ${one.row}`));
  const broken = async () => {
    const audited = await shop.audit();
    return brokenIn({ ...audited, findings: newIn(audited) });
  };

  it('looks at every row of a sound shop and finds nothing', async () => {
    const { invariants, findings, inProgress, unknown } = await shop.audit();
    assert.deepEqual({ findings, inProgress, unknown }, { findings: [], inProgress: [], unknown: [] });
    const looked = Object.fromEntries(invariants.map(({ id, looked }) => [id, looked]));
    assert.deepEqual({ ...looked, 1: 0, 2: 0 }, { 1: 0, 2: 0, 3: 8, 4: 6, 5: 4, 6: 0, 9: 6 });
    assert.ok((looked[1] ?? 0) > 100 && (looked[2] ?? 0) > 100, JSON.stringify(looked));
  });

  it('1: names the snapshot that is not the fold of its ledger, with both', async () => {
    const [stock] = await shop.untouched(1);
    await shop.damage('platform', `update inventory_snapshots set available_quantity = 7 where id = $1`, [stock?.id]);
    const [finding, ...others] = newIn(await shop.audit());
    assert.deepEqual([finding?.invariant, finding?.row, others], [1, `stock ${stock?.name}`, []]);
    assert.equal(finding?.is, 'available 7, reserved 0, version 1');
    assert.match(finding?.shouldBe ?? '', /^available \d\d+, reserved 0, version 1$/);
  });

  it('1: names a snapshot that is gone, and one whose version is wrong', async () => {
    const [gone, wrong] = await shop.untouched(2);
    await shop.damage('platform', `delete from inventory_snapshots where id = $1`, [gone?.id]);
    await shop.damage('platform', `update inventory_snapshots set version = version + 1 where id = $1`, [wrong?.id]);
    assert.deepEqual(await broken(), [`1 stock ${gone?.name}`, `1 stock ${wrong?.name}`].sort());
  });

  it('1: names the ledger that lacks a version', async () => {
    const [stock] = await shop.untouched(1);
    await shop.damage('platform', `update inventory_events set aggregate_version = 3 where aggregate_id = $1`, [
      stock?.name,
    ]);
    await shop.damage('platform', `update inventory_snapshots set version = 3 where id = $1`, [stock?.id]);
    assert.deepEqual(await broken(), [`1 stock ${stock?.name}`]);
  });

  it('2: names stock below zero, once nothing refuses it any more', async () => {
    const [stock] = await shop.untouched(1);
    await shop.damage('platform', `alter table inventory_snapshots drop constraint chk_inventory_snapshots_available`);
    await shop.damage('platform', `update inventory_snapshots set available_quantity = -1 where id = $1`, [stock?.id]);
    assert.deepEqual(await broken(), [`1 stock ${stock?.name}`, `2 stock ${stock?.name}`]);
  });

  it('2: names reserved stock that no reservation holds', async () => {
    const input = await shop.steps.place([{ item: MUG, quantity: 2 }]);
    const end = await shop.openWorkflow(checkoutWorkflowId(input.orderId));
    await shop.damage('platform', `update inventory_reservations set quantity = 1 where order_id = $1`, [
      input.orderId,
    ]);
    assert.deepEqual(await broken(), [`2 order ${input.orderId}`, '2 stock 101-1011-MAIN']);
    await end();
  });

  it('2: names an order whose header, reservations and ledger disagree', async () => {
    const [first, second, third] = [await shop.paid(), await shop.paid(), await shop.cancelled()];
    await shop.damage(
      'platform',
      `update inventory_reservations set state = 'RELEASED' where order_id = $1 and line_no = 1`,
      [first.orderId],
    );
    await shop.damage('platform', `delete from inventory_reservations where order_id = $1`, [second.orderId]);
    await shop.damage(
      'platform',
      `update inventory_reservations set quantity = quantity + 1 where order_id = $1 and line_no = 2`,
      [third.orderId],
    );
    assert.deepEqual(await broken(), [first, second, third].map(({ orderId }) => `2 order ${orderId}`).sort());
  });

  it('3: names a paid order whose payment has another amount, another currency or another state', async () => {
    const [amount, currency, state] = [await shop.paid(), await shop.paid(), await shop.paid()];
    await shop.damage('order', `update orders set total_amount = total_amount - 1 where id = $1`, [amount.orderId]);
    await shop.damage('order', `update orders set currency = 'USD' where id = $1`, [currency.orderId]);
    await shop.damage('payment', `update payments set status = 'FAILED' where order_id = $1`, [state.orderId]);
    // The stored answer no longer is the order, either.
    const answers = [amount, currency].map(({ orderId }) => `9 order ${orderId}`);
    const orders = [amount, currency, state].map(({ orderId }) => `3 order ${orderId}`);
    assert.deepEqual(await broken(), [...orders, ...answers].sort());
  });

  it('3: names a paid order without COMMITTED stock, and a captured payment or committed stock without a paid order', async () => {
    const [unpaid, doubled, gone] = [await shop.paid(), await shop.paid(), await shop.paid()];
    await shop.damage('platform', `update inventory_orders set state = 'RELEASED' where order_id = $1`, [
      unpaid.orderId,
    ]);
    const second = randomUUID();
    await shop.damage(
      'payment',
      `insert into payments (id, order_id, user_id, provider, method, status, amount, currency,
        captured_amount, captured_currency, captured_at, refunded_amount, idempotency_key)
      select $2::uuid, order_id, user_id, 'other', method, 'REFUNDED', amount, currency, captured_amount,
        captured_currency, now(), captured_amount - 1, 'second' from payments where order_id = $1`,
      [doubled.orderId, second],
    );
    await shop.damage('order', `update orders set status = 'PENDING' where id = $1`, [gone.orderId]);
    const found = await broken();
    assert.deepEqual(
      found.filter((row) => row.startsWith('3')),
      [unpaid, doubled, gone].map(({ orderId }) => `3 order ${orderId}`).sort(),
    );
    assert.deepEqual(
      found.filter((row) => !row.startsWith('3')),
      [`2 order ${unpaid.orderId}`, `5 payment ${second}`, `6 order ${gone.orderId}`],
    );
  });

  it('4: names a closed order that holds stock, and nothing else of it', async () => {
    const input = await shop.declined();
    await shop.damage('platform', `update inventory_orders set state = 'RESERVED' where order_id = $1`, [
      input.orderId,
    ]);
    const row = `order ${input.orderId}`;
    assert.deepEqual(await broken(), [`2 ${row}`, `4 ${row}`, `6 reserved stock of ${row}`]);
  });

  it('4: names a closed order whose late capture was not given back', async () => {
    const input = await shop.cancelled();
    await shop.damage(
      'payment',
      `update payments set status = 'LATE_CAPTURED', refunded_amount = 0 where order_id = $1`,
      [input.orderId],
    );
    await shop.damage('payment', `update refunds set status = 'FAILED' where refund_key = $1`, [
      `${input.orderId}:settle-refund`,
    ]);
    await shop.damage('gateway', `delete from ledger_entries where order_id = $1 and type = 'REFUND'`, [input.orderId]);
    const findings = newIn(await shop.audit());
    assert.deepEqual(
      findings.map(({ invariant, row }) => `${invariant} ${row}`),
      [`4 order ${input.orderId}`],
    );
    assert.match(findings[0]?.is ?? '', /the gateway keeps \d+ KRW .*LATE_CAPTURED/);
  });

  it('4: names an order that was only ever marked, and whose payment keeps money', async () => {
    const input = checkoutInput('1', [{ item: MUG, quantity: 1 }]);
    await shop.payments.capturePayment({ ...input, amount: { minor: 500, currency: 'KRW' }, ...input.payment });
    assert.deepEqual(await broken(), [`3 order ${input.orderId}`, `4 order ${input.orderId}`]);
  });

  it('4: names a closed order whose payment was decided CAPTURED, although nothing was captured or given back', async () => {
    const input = await shop.declined();
    await shop.damage('payment', `update payment_marks set decision = 'CAPTURED' where order_id = $1`, [input.orderId]);
    assert.deepEqual(await broken(), [`4 order ${input.orderId}`]);
  });

  it('5: names a payment that says another amount than the ledger, and a charge that no payment knows', async () => {
    const input = await shop.cancelled();
    await shop.damage('gateway', `update ledger_entries set amount = amount + 5 where order_id = $1`, [input.orderId]);
    const orderId = randomUUID();
    await shop.damage(
      'gateway',
      `
      insert into charges (id, order_id, amount, currency, status, captured_amount, captured_currency, refunded_amount)
      values ('ch_unknown', $1, 70, 'KRW', 'captured', 70, 'KRW', 70);
      insert into ledger_entries (charge_id, order_id, type, amount, currency, refund_key)
      values ('ch_unknown', $1, 'CAPTURE', 70, 'KRW', null), ('ch_unknown', $1, 'REFUND', 70, 'KRW', 'r')`,
      [orderId],
    );
    assert.deepEqual(await broken(), ['5 charge ch_unknown', `5 payment ${paymentIdFor(input.orderId)}`]);
  });

  it('5: names a capture that the ledger does not have', async () => {
    const input = await shop.paid();
    await shop.damage('gateway', `delete from ledger_entries where order_id = $1`, [input.orderId]);
    assert.deepEqual(await broken(), [`5 payment ${input.paymentId}`]);
  });

  it('5: names a capture that has no id at the gateway, or is of a provider that nobody can ask', async () => {
    const [nameless, elsewhere] = [await shop.paid(), await shop.paid()];
    const damage = [
      [nameless, 'provider_payment_id = null'],
      [elsewhere, `provider = 'other'`],
    ] as const;
    for (const [{ orderId }, set] of damage) {
      await shop.damage('payment', `update payments set ${set} where order_id = $1`, [orderId]);
      await shop.damage('gateway', `delete from ledger_entries where order_id = $1`, [orderId]);
    }
    const named = [nameless, elsewhere].map(({ paymentId }) => `5 payment ${paymentId}`);
    assert.deepEqual(await broken(), named.sort());
    const is = new Map(newIn(await shop.audit()).map((one) => [one.orderId, one.is]));
    assert.match(
      is.get(nameless.orderId) ?? '',
      /^captured \d+ KRW, refunded 0 at provider simulated, without its id$/,
    );
    assert.match(is.get(elsewhere.orderId) ?? '', /at provider other, charge \S+$/);
  });

  it('5: names a charge too when the payment with its id is one of another provider', async () => {
    const { orderId, paymentId } = await shop.paid();
    await shop.damage('payment', `update payments set provider = 'other' where order_id = $1`, [orderId]);
    const findings = newIn(await shop.audit()).map(({ invariant, row }) => `${invariant} ${row.split(' ')[0]}`);
    assert.deepEqual(findings.sort(), ['5 charge', '5 payment']);
    assert.ok((await broken()).includes(`5 payment ${paymentId}`));
  });

  it('6: names whatever is open when its workflow has ended, and only lists it while the workflow runs', async () => {
    const input = await shop.steps.place();
    const end = await shop.openWorkflow(checkoutWorkflowId(input.orderId));

    const during = await shop.audit();
    assert.deepEqual(newIn(during), []);
    assert.deepEqual(
      during.inProgress.map(({ row, workflows }) => [row, workflows]).sort(),
      [`order ${input.orderId}`, `reserved stock of order ${input.orderId}`].map((row) => [
        row,
        [checkoutWorkflowId(input.orderId)],
      ]),
    );

    await end();
    const rows = [`6 order ${input.orderId}`, `6 reserved stock of order ${input.orderId}`];
    assert.deepEqual(await broken(), rows);
    const repaired = await shop.openWorkflow(repairWorkflowId(input.orderId));
    assert.deepEqual(await broken(), []);
    await repaired();
  });

  it('6: names open payments, refunds and webhooks', async () => {
    const input = await shop.paid();
    const open = await shop.steps.place();
    await shop.damage(
      'payment',
      `insert into payments (id, order_id, user_id, provider, method, status, amount, currency, idempotency_key)
      values ($1, $2, 1, 'simulated', 'card', 'IN_DOUBT', 5, 'KRW', 'k')`,
      [paymentIdFor(open.orderId), open.orderId],
    );
    const refundId = randomUUID();
    await shop.damage(
      'payment',
      `insert into refunds (id, payment_id, refund_key, amount, currency, reason)
      values ($1, $2, 'key', 5, 'KRW', 'RETURN')`,
      [refundId, input.paymentId],
    );
    await shop.damage(
      'payment',
      `insert into payment_webhooks (provider, event_id, type, provider_payment_id, fields, body_hash)
      values ('simulated', 'evt-1', 'charge.captured', 'nobody', '{}', repeat('a', 64))`,
    );
    const end = await shop.openWorkflow(checkoutWorkflowId(open.orderId));
    assert.deepEqual(await broken(), [`6 refund ${refundId}`, '6 webhook simulated/evt-1']);
    const [refund, webhook] = [
      await shop.openWorkflow(`refund-${refundId}`),
      await shop.openWorkflow('webhook-simulated-evt-1'),
    ];
    assert.deepEqual(await broken(), []);
    await Promise.all([end(), refund(), webhook()]);
    assert.ok((await broken()).includes(`6 payment ${paymentIdFor(open.orderId)}`));
  });

  it('9: names an order that its stored answer does not describe, in each way', async () => {
    const orders = [];
    for (let n = 0; n < 5; n++) orders.push(await shop.paid());
    const [hash, line, number, lost, refusal] = orders.map(({ orderId }) => orderId);
    await shop.damage('order', `update orders set request_hash = repeat('b', 64) where id = $1`, [hash]);
    await shop.damage('order', `update order_items set product_id = 7 where order_id = $1 and line_no = 1`, [line]);
    await shop.damage('order', `update orders set order_number = 'OTHER' where id = $1`, [number]);
    await shop.damage(
      'platform',
      `update inventory_orders set answer = jsonb_set(answer, '{total,minor}', '1') where order_id = $1`,
      [lost],
    );
    await shop.damage(
      'platform',
      `update inventory_orders set answer = '{"code":"OUT_OF_STOCK","message":"none"}' where order_id = $1`,
      [refusal],
    );
    assert.deepEqual(await broken(), orders.map(({ orderId }) => `9 order ${orderId}`).sort());
  });

  /** Every column of a line, and what the mark remembers for a repeated step. */
  const retold: [string, 'order' | 'platform', string][] = [
    ['sku', 'order', `update order_items set product_sku = 'OTHER' where order_id = $1 and line_no = 1`],
    ['name', 'order', `update order_items set product_name = 'Other' where order_id = $1 and line_no = 1`],
    ['variant', 'order', `update order_items set variant_name = 'Other' where order_id = $1 and line_no = 1`],
    ['line total', 'platform', setAnswer('inventory_orders', '{lines,0,lineTotal,minor}', '1')],
    ['total in the mark', 'order', setAnswer('order_marks', '{total,minor}', '1')],
    ['currency in the mark', 'order', setAnswer('order_marks', '{total,currency}', '"USD"')],
    ['instant in the mark', 'order', setAnswer('order_marks', '{placedAt}', '"2026-01-01T00:00:00.000Z"')],
    ['line in the mark', 'order', setAnswer('order_marks', '{lines,0,sku}', '"OTHER"')],
    ['mark without an answer', 'order', `update order_marks set answer = null where order_id = $1`],
  ];
  for (const [what, database, statement] of retold) {
    it(`9: names the one order that is told in two ways: ${what}`, async () => {
      const [{ orderId }] = [await shop.paid(), await shop.paid()];
      await shop.damage(database, statement, [orderId]);
      assert.deepEqual(await broken(), [`9 order ${orderId}`]);
    });
  }

  it('9: names a mark whose order is gone, although its checkout was refused', async () => {
    const { orderId } = await shop.declined();
    await shop.damage('order', `delete from orders where id = $1`, [orderId]);
    await shop.damage(
      'platform',
      `update inventory_orders set answer = '{"code":"PAYMENT_DECLINED"}' where order_id = $1`,
      [orderId],
    );
    assert.deepEqual(await broken(), [`9 order ${orderId}`]);
  });

  it('9: names an answer whose order does not exist', async () => {
    const input = await shop.declined();
    for (const table of ['order_items', 'order_status_history']) {
      await shop.damage('order', `delete from ${table} where order_id = $1`, [input.orderId]);
    }
    await shop.damage('order', `delete from orders where id = $1`, [input.orderId]);
    // Without what the mark remembers, so that the header alone tells of an order.
    await shop.damage('order', `update order_marks set answer = null where order_id = $1`, [input.orderId]);
    assert.deepEqual(await broken(), [`9 order ${input.orderId}`]);
  });

  it('does not report what has healed when it looks again', async () => {
    const input = await shop.steps.place();
    const { paymentId } = await shop.steps.capture(input);
    const asked: string[] = [];
    const audited = shop.audit({ recheckAfterMs: 2_000, say: (what) => asked.push(what) });
    while (!asked.some((what) => what.includes('suspects'))) await sleep(10);
    await shop.steps.finish(input, paymentId);
    const after = await audited;
    assert.deepEqual([newIn(after), after.inProgress], [[], []]);
  });

  it('answers unknown for what only Temporal could excuse when it must not ask', async () => {
    const input = await shop.steps.place();
    const { findings, unknown } = await shop.audit({}, {});
    assert.ok(findings.length > 0 && findings.every(({ invariant }) => invariant <= 2));
    const rows = unknown.filter(({ invariant }) => invariant === 6).map(({ row }) => row);
    assert.ok(rows.includes(`order ${input.orderId}`) && rows.includes(`reserved stock of order ${input.orderId}`));
  });

  it('looks only at what it is asked for', async () => {
    const { invariants } = await shop.audit({ only: [1, 9] });
    assert.deepEqual(
      invariants.map(({ id }) => id),
      [1, 9],
    );
  });
});

/** Replaces one value in a stored answer. */
function setAnswer(table: string, path: string, json: string): string {
  return `update ${table} set answer = jsonb_set(answer, '${path}', '${json}') where order_id = $1`;
}
