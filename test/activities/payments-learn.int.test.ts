import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { learn } from '../../activities/payments/learn.ts';
import type { Refusal } from '../../domain/errors.ts';
import type { Charge, ChargeStatus, PaymentStatus } from '../../domain/payment.ts';
import { paymentIdFor } from '../../events/ids.ts';
import { type Databases, openPayment } from '../../infra/databases.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { type GivenPayment, givePayment } from '../support/payment-rows.ts';

const HOLD_MS = 60_000;
const ASKED = { minor: 7_000, currency: 'KRW' };
const charge = (status: ChargeStatus, change: Partial<Charge> = {}): Charge => ({
  ...{ providerId: 'ch_1', status, captured: null, refundedMinor: 0, declineCode: null, instructions: null },
  ...change,
});
const WAITS = charge('requires_confirmation', { instructions: { type: 'redirect', url: 'https://bank.example/1' } });

/** Everything that a gateway can say. */
const NEWS = {
  captured: charge('captured', { captured: ASKED }),
  other: charge('captured', { captured: { minor: 7_001, currency: 'KRW' } }),
  foreign: charge('captured', { captured: { minor: 7_000, currency: 'USD' } }),
  givenBack: charge('captured', { captured: ASKED, refundedMinor: 7_000 }),
  declined: charge('declined', { declineCode: 'insufficient_funds' }),
  cancelled: charge('cancelled'),
  waits: WAITS,
  open: charge('open'),
  processing: charge('processing'),
  refused: { code: 'PAYMENT_METHOD_INVALID', message: 'the gateway refused: no_such_card' },
} as const satisfies Record<string, Charge | Refusal>;
type News = keyof typeof NEWS;

/** What an undecided payment becomes: its status, the decision, the failure code, and what was taken. */
const DECIDES: Readonly<Record<News, readonly [PaymentStatus, string, string | null, number | null] | null>> = {
  captured: ['CAPTURED', 'CAPTURED', null, 7_000],
  other: ['FAILED', 'REFUSED', 'PAYMENT_AMOUNT_MISMATCH', 7_001],
  foreign: ['FAILED', 'REFUSED', 'PAYMENT_AMOUNT_MISMATCH', 7_000],
  givenBack: ['FAILED', 'REFUSED', 'PAYMENT_AMOUNT_MISMATCH', 7_000],
  declined: ['FAILED', 'REFUSED', 'PAYMENT_DECLINED', null],
  cancelled: ['FAILED', 'REFUSED', 'PAYMENT_DECLINED', null],
  refused: ['FAILED', 'REFUSED', 'PAYMENT_METHOD_INVALID', null],
  waits: null,
  open: null,
  processing: null,
};

/** Every payment that is decided: nothing that anybody learns may change it. */
const DECIDED = [
  ['CAPTURED', 'CAPTURED'],
  ['CAPTURED', 'PARTIALLY_REFUNDED'],
  ['CAPTURED', 'REFUNDED'],
  ['REFUSED', 'FAILED'],
  ['REFUSED', 'LATE_CAPTURED'],
  ['ABANDONED', 'IN_DOUBT'],
  ['ABANDONED', 'CANCELLED'],
  ['ABANDONED', 'LATE_CAPTURED'],
  ['ABANDONED', 'REFUNDED'],
] as const;

describe('what is learned of a charge', function () {
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

  const given = (status: PaymentStatus, decision: GivenPayment['decision'], method?: GivenPayment['method']) =>
    givePayment(adminUrl, { status, decision, ...(method === undefined ? {} : { method }) });
  const rowsOf = async (orderId: string) => [
    await query(adminUrl, 'select * from payments where order_id = $1', [orderId]),
    await query(adminUrl, 'select decision, answer from payment_marks where order_id = $1', [orderId]),
    await query(adminUrl, 'select id from outbox where aggregate_id = $1', [paymentIdFor(orderId)]),
  ];
  const told = (orderId: string, news: News, holdMs: number | null = HOLD_MS) =>
    payment.$transaction((tx) => learn(tx, orderId, NEWS[news], holdMs));

  for (const from of ['PENDING', 'AWAITING_CONFIRMATION'] as const) {
    for (const [news, decides] of Object.entries(DECIDES) as [News, (typeof DECIDES)[News]][]) {
      if (decides === null) continue;
      const [status, decision, failureCode, captured] = decides;
      it(`makes a payment ${status} that is ${from} when the gateway says "${news}", with one event`, async () => {
        const orderId = await given(from, null);
        const { mark, payment: row } = await told(orderId, news);
        assert.deepEqual([row?.status, mark.decision, mark.answer?.code ?? null], [status, decision, failureCode]);
        const [stored] = await query(
          adminUrl,
          `select p.status, decision, failure_code as failure, captured_amount::integer as captured, version::integer,
             (select count(*)::integer from outbox where aggregate_id = p.id::text) as events
           from payments p join payment_marks using (order_id) where order_id = $1`,
          [orderId],
        );
        assert.deepEqual(stored, { status, decision, failure: failureCode, captured, version: 2, events: 1 });
      });
    }
  }

  it('makes a payment wait that is PENDING, and leaves one that waits as it is', async () => {
    const orderId = await given('PENDING', null);
    const { mark, payment: row } = await told(orderId, 'waits');
    assert.deepEqual(
      [mark.decision, row?.status, row?.instructions],
      [null, 'AWAITING_CONFIRMATION', WAITS.instructions],
    );

    const waiting = await given('AWAITING_CONFIRMATION', null);
    const before = await rowsOf(waiting);
    await told(waiting, 'waits');
    assert.deepEqual(await rowsOf(waiting), before);
  });

  it('makes no payment wait for a time that the caller does not know', async () => {
    const orderId = await given('PENDING', null);
    const before = await rowsOf(orderId);
    await told(orderId, 'waits', null);
    assert.deepEqual(await rowsOf(orderId), before);
  });

  it('does not make the shopper wait without saying for what', async () => {
    const orderId = await given('PENDING', null);
    const silent = { ...WAITS, instructions: null };
    await assert.rejects(
      payment.$transaction((tx) => learn(tx, orderId, silent, HOLD_MS)),
      /did not say how/,
    );
  });

  for (const from of ['PENDING', 'AWAITING_CONFIRMATION'] as const) {
    for (const news of ['open', 'processing'] as const) {
      it(`decides nothing about a payment that is ${from} while its charge is ${news}`, async () => {
        const orderId = await given(from, null);
        const before = await rowsOf(orderId);
        assert.equal((await told(orderId, news)).mark.decision, null);
        assert.deepEqual(await rowsOf(orderId), before);
      });
    }
  }

  it('calls a transfer whose account was closed a hold that is over', async () => {
    const orderId = await given('AWAITING_CONFIRMATION', null, 'bank_transfer');
    assert.equal((await told(orderId, 'cancelled')).mark.answer?.code, 'HOLD_EXPIRED');
  });

  for (const [decision, status] of DECIDED) {
    it(`changes nothing of a payment that is ${status} after ${decision}, whatever the gateway says`, async () => {
      const orderId = await given(status, decision);
      const before = await rowsOf(orderId);
      for (const news of Object.keys(NEWS) as News[]) {
        const standing = await told(orderId, news);
        assert.deepEqual([standing.mark.decision, standing.payment?.status], [decision, status], news);
      }
      assert.deepEqual(await rowsOf(orderId), before);
    });
  }

  it('cannot decide about an order that has no payment', async () => {
    await assert.rejects(told(randomUUID(), 'captured'), /has no payment/);
  });
});
