import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { MovedPayment, Page, PageInput } from '../../activities/payments/contract.ts';
import { paymentFinders } from '../../activities/payments/find.ts';
import { settlementKey } from '../../activities/payments/settlement-tables.ts';
import { paymentIdFor, settlementIdFor } from '../../events/ids.ts';
import { type Databases, openPayment } from '../../infra/databases.ts';
import type { GatewayLedger } from '../../infra/payment-gateway/ledger.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { type GivenPayment, givePayment } from '../support/payment-rows.ts';

const HOUR_MS = 60 * 60_000;
/** These finders never look at the books. */
const NO_BOOKS: GatewayLedger = {
  provider: 'simulated',
  charges: () => {
    throw new Error('nobody may read the books for this');
  },
};

describe('money that moved lately, as the payment service tells it', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let payment: Databases['payment'];
  let adminUrl: string;

  before(async () => {
    databases = await freshDatabases();
    adminUrl = databases.adminUrl('payment');
    payment = openPayment(databases.urls.payment, { poolSize: 5 });
  });
  after(async () => {
    await payment.$disconnect();
    await databases.drop();
  });
  beforeEach(() => query(adminUrl, 'truncate payments, payment_marks, refunds, refund_lines'));

  const given = (
    status: GivenPayment['status'],
    decision: GivenPayment['decision'] = 'CAPTURED',
    rest: Partial<GivenPayment> = {},
  ) => givePayment(adminUrl, { status, decision, ...rest });

  async function refund(orderId: string, status: 'PENDING' | 'SUCCEEDED' | 'FAILED', settles: boolean): Promise<void> {
    const id = settles ? settlementIdFor(orderId) : randomUUID();
    await query(
      adminUrl,
      // A shop may give any reason, this one too: the key tells what settles an order.
      `insert into refunds (id, payment_id, refund_key, amount, currency, reason, status, finished_at)
       values ($1, $2, $3, 100, 'KRW', 'SETTLEMENT', $4::varchar, case when $4 <> 'PENDING' then now() end)`,
      [id, paymentIdFor(orderId), settles ? settlementKey(orderId) : id, status],
    );
  }
  const settle = async (orderId: string): Promise<string> => {
    await refund(orderId, 'SUCCEEDED', true);
    return orderId;
  };
  const ago = (table: string, column: string, keyColumn: string, key: string, interval: string) =>
    query(adminUrl, `update ${table} set ${column} = now() - $1::interval where ${keyColumn} = $2`, [interval, key]);

  async function found(limit = 100, sinceMs = HOUR_MS): Promise<MovedPayment[]> {
    const finders = paymentFinders({
      ...{ payment, ledger: NO_BOOKS, beat: () => undefined, signal: () => new AbortController().signal },
    });
    const all: MovedPayment[] = [];
    for (let after: PageInput['after'] = null; ;) {
      const { items, next }: Page<MovedPayment> = await finders.findMovedPayments({ after, limit, sinceMs });
      assert.ok(items.length <= limit, `${items.length} of at most ${limit}`);
      all.push(...items);
      if (next === null) return all;
      after = next;
    }
  }
  const kept = (orderId: string): MovedPayment => ({ orderId, paymentId: paymentIdFor(orderId), settled: false });
  const settled = (orderId: string): MovedPayment => ({ ...kept(orderId), settled: true });

  it('is every capture that counts, whole or partly refunded, with the id of its payment', async () => {
    const [whole, partly] = [await given('CAPTURED'), await given('PARTIALLY_REFUNDED')];
    assert.deepEqual(await found(), [kept(whole), kept(partly)]);
  });

  it('is every settlement that has succeeded, whatever state that left its payment in', async () => {
    const refunded = await settle(await given('REFUNDED', 'ABANDONED'));
    const partly = await settle(await given('PARTIALLY_REFUNDED'));
    assert.deepEqual(await found(), [settled(refunded), settled(partly)]);
  });

  it('is no capture that is on record as to be given back: while that is open, it is listed as owed', async () => {
    for (const status of ['PENDING', 'FAILED'] as const) await refund(await given('CAPTURED'), status, true);
    assert.deepEqual(await found(), []);
  });

  it('is a capture of which somebody asked a part back, however that ended: it still pays for its order', async () => {
    const orders = [];
    for (const status of ['PENDING', 'SUCCEEDED', 'FAILED'] as const) {
      const orderId = await given('CAPTURED');
      await refund(orderId, status, false);
      orders.push(orderId);
    }
    assert.deepEqual(await found(), orders.map(kept));
  });

  it('is nothing that never was captured, that came too late, or that was given back whole', async () => {
    for (const status of ['PENDING', 'AWAITING_CONFIRMATION'] as const) await given(status, null);
    for (const status of ['IN_DOUBT', 'CANCELLED', 'LATE_CAPTURED', 'REFUNDED'] as const) {
      await given(status, 'ABANDONED');
    }
    await given('FAILED', 'REFUSED', { captured: 7_001 });
    await refund(await given('REFUNDED'), 'SUCCEEDED', false);
    assert.deepEqual(await found(), []);
  });

  it('is nothing that moved before the window: by when it was captured, and when it was settled', async () => {
    const [early, late] = [await given('CAPTURED'), await given('CAPTURED')];
    const [wasSettled, isSettled] = [await given('REFUNDED', 'ABANDONED'), await given('REFUNDED', 'ABANDONED')];
    for (const orderId of [wasSettled, isSettled]) await settle(orderId);
    await ago('payments', 'captured_at', 'order_id', early, '61 minutes');
    await ago('refunds', 'finished_at', 'refund_key', settlementKey(wasSettled), '61 minutes');
    // What else happened to these rows since is no money that moved.
    await ago('payments', 'created_at', 'order_id', late, '3 days');
    await ago('payments', 'captured_at', 'order_id', isSettled, '3 days');
    await ago('refunds', 'requested_at', 'refund_key', settlementKey(isSettled), '3 days');
    assert.deepEqual(await found(), [kept(late), settled(isSettled)]);
    assert.deepEqual(
      await found(100, 2 * HOUR_MS),
      [early, late].map(kept).concat([wasSettled, isSettled].map(settled)),
    );
  });

  it('is read page by page, by when it moved, without a gap and without a repeat', async () => {
    const all: MovedPayment[] = [];
    for (let i = 0; i < 3; i++) all.push(kept(await given('CAPTURED')));
    for (let i = 0; i < 3; i++) all.push(settled(await settle(await given('REFUNDED', 'ABANDONED'))));
    for (const limit of [1, 2, 3, 4, 6, 100]) assert.deepEqual(await found(limit), all, `${limit} a page`);
  });

  it('is read whole also when much moved at the same instant', async () => {
    for (let i = 0; i < 5; i++) await given('CAPTURED');
    for (let i = 0; i < 5; i++) await settle(await given('REFUNDED', 'ABANDONED'));
    await query(
      adminUrl,
      `update payments set captured_at = date_trunc('hour', now()) + interval '123456 microseconds'`,
    );
    await query(
      adminUrl,
      `update refunds set finished_at = date_trunc('hour', now()) + interval '123456 microseconds'`,
    );
    for (const limit of [1, 2, 4]) {
      const orders = (await found(limit, 2 * HOUR_MS)).map(({ orderId }) => orderId);
      assert.deepEqual([orders.length, new Set(orders).size], [10, 10], `${limit} a page`);
    }
  });

  it('is found though pages before it are empty: only the position says where the end is', async () => {
    const orderId = await settle(await given('REFUNDED', 'ABANDONED'));
    assert.deepEqual(await found(1), [settled(orderId)]);
  });

  it('is not read from a position that nobody gave', async () => {
    const finders = paymentFinders({
      ...{ payment, ledger: NO_BOOKS, beat: () => undefined, signal: () => new AbortController().signal },
    });
    for (const after of ['["0"]', '[0,1,2]', '["2","-infinity","x"]', '["-1","-infinity","x"]', '{}', 'null']) {
      await assert.rejects(finders.findMovedPayments({ after, limit: 10, sinceMs: HOUR_MS }), /no position/, after);
    }
  });
});
