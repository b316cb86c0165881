import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { Page, PageInput } from '../../activities/payments/contract.ts';
import { paymentFinders } from '../../activities/payments/find.ts';
import { settlementKey } from '../../activities/payments/settlement-tables.ts';
import { paymentIdFor, settlementIdFor } from '../../events/ids.ts';
import { type Databases, openPayment } from '../../infra/databases.ts';
import type { BookedCharge, GatewayLedger, LedgerQuery } from '../../infra/payment-gateway/ledger.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { type GivenPayment, givePayment } from '../support/payment-rows.ts';

const DAY_MS = 24 * 60 * 60_000;

describe('what the payment service finds unfinished', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let payment: Databases['payment'];
  let adminUrl: string;
  let books: BookedCharge[];
  let asked: LedgerQuery[];
  let beats: number;

  /** The provider's books, written by the test. They keep to the window, as real ones do. */
  const ledger: GatewayLedger = {
    provider: 'simulated',
    async *charges(what: LedgerQuery) {
      asked.push(what);
      for (const charge of books) {
        await Promise.resolve();
        const wanted = what.providerIds?.includes(charge.providerId) ?? !old.has(charge.orderId);
        if (wanted) yield charge;
      }
    },
  };
  /** Orders on whose charge money moved before every window. */
  const old = new Set<string>();

  before(async () => {
    databases = await freshDatabases();
    adminUrl = databases.adminUrl('payment');
    payment = openPayment(databases.urls.payment, { poolSize: 5 });
  });
  after(async () => {
    await payment.$disconnect();
    await databases.drop();
  });
  beforeEach(async () => {
    await query(adminUrl, 'truncate payments, payment_marks, refunds, refund_lines, payment_webhooks');
    books = [];
    asked = [];
    beats = 0;
    old.clear();
  });

  const beat = () => void (beats += 1);
  const finders = () => paymentFinders({ payment, ledger, beat, signal: () => new AbortController().signal });
  const given = (
    status: GivenPayment['status'],
    decision: GivenPayment['decision'],
    rest: Partial<GivenPayment> = {},
  ) => givePayment(adminUrl, { status, decision, ...rest });
  async function refund(orderId: string, status: string, settles: boolean): Promise<string> {
    const id = settles ? settlementIdFor(orderId) : randomUUID();
    const key = settles ? settlementKey(orderId) : id;
    await query(
      adminUrl,
      // A shop may give any reason, this one too: the key tells what settles an order.
      `insert into refunds (id, payment_id, refund_key, amount, currency, reason, status)
       values ($1, $2, $3, 100, 'KRW', 'SETTLEMENT', $4)`,
      [id, paymentIdFor(orderId), key, status],
    );
    return id;
  }
  const ordersOf = (items: readonly Readonly<{ orderId: string }>[]) => items.map(({ orderId }) => orderId);

  describe('of payments', () => {
    const found = async (limit = 100) => ordersOf(await readAll((page) => finders().findOpenPayments(page), limit));

    it('is every one that is open or in doubt', async () => {
      const open = [await given('PENDING', null), await given('AWAITING_CONFIRMATION', null)];
      open.push(await given('IN_DOUBT', 'ABANDONED'));
      assert.deepEqual(await found(), open);
    });

    it('is every one that owes money although its order is given up', async () => {
      const owed = [await given('LATE_CAPTURED', 'ABANDONED'), await given('FAILED', 'REFUSED', { captured: 7_001 })];
      assert.deepEqual(await found(), owed);
    });

    it('is every capture of a cancelled order whose settlement has not ended well', async () => {
      const [pending, failed] = [await given('CAPTURED', 'CAPTURED'), await given('CAPTURED', 'CAPTURED')];
      await refund(pending, 'PENDING', true);
      await refund(failed, 'FAILED', true);
      assert.deepEqual(await found(), [pending, failed]);
    });

    it('names an order once, also when its late money is on its way back', async () => {
      const late = await given('LATE_CAPTURED', 'ABANDONED');
      await refund(late, 'PENDING', true);
      assert.deepEqual(await found(), [late]);
    });

    it('is none that has ended', async () => {
      const ended = [await given('CAPTURED', 'CAPTURED'), await given('PARTIALLY_REFUNDED', 'CAPTURED')];
      ended.push(await given('REFUNDED', 'ABANDONED'), await given('CANCELLED', 'ABANDONED'));
      ended.push(await given('FAILED', 'REFUSED'));
      for (const orderId of ended.slice(0, 3)) await refund(orderId, 'SUCCEEDED', true);
      await refund(ended[0] ?? '', 'PENDING', false);
      assert.deepEqual(await found(), []);
    });

    it('is read page by page, whatever its size, without a gap and without a repeat', async () => {
      const all: string[] = [];
      for (let i = 0; i < 3; i++) all.push(await given('PENDING', null));
      for (let i = 0; i < 3; i++) all.push(await given('LATE_CAPTURED', 'ABANDONED'));
      for (let i = 0; i < 3; i++) {
        const orderId = await given('CAPTURED', 'CAPTURED');
        await refund(orderId, 'PENDING', true);
        all.push(orderId);
      }
      for (const limit of [1, 2, 3, 4, 100]) assert.deepEqual(await found(limit), all, `${limit} a page`);
    });

    it('is also read when many were written at the same instant', async () => {
      for (let i = 0; i < 5; i++) await given('PENDING', null);
      await query(adminUrl, `update payments set created_at = '2026-01-01T00:00:00.123456Z'`);
      assert.equal(new Set(await found(2)).size, 5);
    });

    it('is not read from a position that nobody gave', async () => {
      for (const after of ['["0"]', '[0,1,2]', '["7","-infinity","x"]', '{}', 'null']) {
        await assert.rejects(finders().findOpenPayments({ after, limit: 10 }), /no position/, after);
      }
    });
  });

  describe('of refunds', () => {
    it('is every one without an end, but no settlement, which belongs to its order', async () => {
      const orderId = await given('CAPTURED', 'CAPTURED');
      const pending = [await refund(orderId, 'PENDING', false), await refund(orderId, 'PENDING', false)];
      await refund(orderId, 'SUCCEEDED', false);
      await refund(orderId, 'FAILED', false);
      await refund(orderId, 'PENDING', true);
      for (const limit of [1, 2, 100]) {
        const items = await readAll((page) => finders().findPendingRefunds(page), limit);
        assert.deepEqual(
          items,
          pending.map((refundId) => ({ refundId, orderId })),
        );
      }
    });
  });

  describe('of events', () => {
    it('is every one without an outcome', async () => {
      await query(
        adminUrl,
        `insert into payment_webhooks (provider, event_id, type, provider_payment_id, fields, body_hash, outcome)
         select 'simulated', 'evt_' || n, 'charge.captured', 'ch_1', '{}', repeat('a', 64),
           case when n % 2 = 0 then 'APPLIED' end
         from generate_series(1, 6) n`,
      );
      const ids = (await readAll((page) => finders().findOpenWebhooks(page), 2)).map(({ eventId }) => eventId);
      assert.deepEqual(ids, ['evt_1', 'evt_3', 'evt_5']);
    });
  });

  describe('of the books', () => {
    const differing = async (): Promise<string[]> => {
      const { items, next } = await finders().findLedgerDifferences({ sinceMs: DAY_MS, after: null, limit: 1_000 });
      assert.equal(next, null);
      return ordersOf(items);
    };
    const booked = (orderId: string, change: Partial<BookedCharge> = {}) =>
      books.push({ providerId: orderId, orderId, captured: 7_000, refunded: 0, currency: 'KRW', ...change });

    it('is nothing where both say the same', async () => {
      booked(await given('CAPTURED', 'CAPTURED'));
      booked(await given('REFUNDED', 'ABANDONED'), { refunded: 7_000 });
      booked(await given('PARTIALLY_REFUNDED', 'CAPTURED'), { refunded: 100 });
      booked(await given('CANCELLED', 'ABANDONED'), { captured: 0 });
      assert.deepEqual(await differing(), []);
    });

    for (const [what, status, decision, change] of [
      ['money landed for an order that is given up', 'CANCELLED', 'ABANDONED', {}],
      ['money landed for a payment that still waits', 'AWAITING_CONFIRMATION', null, {}],
      ['another amount was taken', 'CAPTURED', 'CAPTURED', { captured: 7_001 }],
      ['another currency was taken', 'CAPTURED', 'CAPTURED', { currency: 'USD' }],
      ['two currencies were taken', 'CAPTURED', 'CAPTURED', { currency: 'KRW+USD' }],
      ['less was given back than we say', 'REFUNDED', 'ABANDONED', { refunded: 6_999 }],
      ['more was given back than we know', 'CAPTURED', 'CAPTURED', { refunded: 7_000 }],
    ] as const) {
      it(`is an order where ${what}`, async () => {
        const orderId = await given(status, decision);
        booked(orderId, change);
        booked(await given('CAPTURED', 'CAPTURED'));
        assert.deepEqual(await differing(), [orderId]);
      });
    }

    it('is an order that has no payment, and none of another shop on the same account', async () => {
      const orderId = randomUUID();
      booked(orderId);
      booked('somebody-else-42');
      booked(randomUUID(), { captured: 0 });
      assert.deepEqual(await differing(), [orderId]);
    });

    it('is an order whose capture the books do not have', async () => {
      const orderId = await given('CAPTURED', 'CAPTURED');
      booked(await given('CAPTURED', 'CAPTURED'));
      assert.deepEqual(await differing(), [orderId]);
    });

    it('is no order whose charge moved a moment before the window: the books are asked for it by name', async () => {
      const [same, other] = [await given('CAPTURED', 'CAPTURED'), await given('CAPTURED', 'CAPTURED')];
      booked(same);
      booked(other, { captured: 6_000 });
      for (const orderId of [same, other]) old.add(orderId);
      assert.deepEqual(await differing(), [other]);
      assert.deepEqual(asked[1]?.providerIds?.toSorted(), [same, other].toSorted());
    });

    it('is no payment that moved before the window, and none of another provider', async () => {
      await given('CAPTURED', 'CAPTURED');
      await query(adminUrl, `update payments set updated_at = now() - interval '2 days'`);
      await given('CAPTURED', 'CAPTURED', { provider: 'stripe' });
      assert.deepEqual(await differing(), []);
      const since = asked[0]?.since;
      assert.ok(since !== undefined && Math.abs(Date.now() - DAY_MS - since.getTime()) < 60_000);
    });

    it('is found among more charges than one statement takes', async () => {
      await query(
        adminUrl,
        `insert into payments (id, order_id, user_id, provider, provider_payment_id, method, status, amount, currency,
           idempotency_key, captured_amount, captured_currency, captured_at)
         select gen_random_uuid(), o, 42, 'simulated', o::text, 'card', 'CAPTURED', 7000, 'KRW', o::text, 7000, 'KRW', now()
         from (select gen_random_uuid() as o from generate_series(1, 1203)) as orders`,
      );
      const rows = await query<{ id: string }>(adminUrl, 'select order_id::text as id from payments order by id');
      for (const { id } of rows.slice(0, 1_202)) booked(id);
      books[1_100] = { ...(books[1_100] as BookedCharge), refunded: 1 };
      assert.deepEqual(await differing(), [rows[1_100]?.id, rows[1_202]?.id].toSorted());
      assert.equal(asked.length, 2);
      assert.ok(beats >= 6, 'who waits for it hears that it goes on');
    });

    it('is told in pages, each order once', async () => {
      for (let i = 0; i < 1_100; i++) booked(randomUUID());
      books.push(...books.slice(0, 10));
      const sinceMs = DAY_MS;
      const found = await readAll((page) => finders().findLedgerDifferences({ ...page, sinceMs }), 500);
      const orderIds = new Set(books.map(({ orderId }) => orderId));
      assert.deepEqual(ordersOf(found), [...orderIds].sort());
    });
  });

  it('is found by indexes that hold only what is unfinished', async () => {
    await query(
      adminUrl,
      `insert into payments (id, order_id, user_id, provider, provider_payment_id, method, status, amount, currency,
         idempotency_key, captured_amount, captured_currency, captured_at, created_at, updated_at)
       select o, o, 42, 'simulated', o::text, 'card', case when n % 1000 = 0 then 'LATE_CAPTURED' else 'CAPTURED' end,
         7000, 'KRW', o::text, 7000, 'KRW', t, t, t
       from (select gen_random_uuid() as o, n, now() - n * interval '1 minute' as t from generate_series(1, 20000) n)`,
    );
    await query(
      adminUrl,
      `insert into refunds (id, payment_id, refund_key, amount, currency, reason, status, finished_at)
       select id, id, case when n % 2 = 0 then id || ':settle-refund' else id::text end, 1, 'KRW', 'x',
         case when n % 1000 < 2 then 'PENDING' else 'SUCCEEDED' end, case when n % 1000 >= 2 then captured_at end
       from (select id, captured_at, row_number() over () as n from payments) p`,
    );
    await query(
      adminUrl,
      `insert into payment_webhooks (provider, event_id, type, provider_payment_id, fields, body_hash, outcome)
       select 'simulated', n::text, 't', n::text, '{}', repeat('a', 64), case when n % 1000 > 0 then 'APPLIED' end
       from generate_series(1, 20000) n`,
    );
    await query(adminUrl, 'analyze');
    const before = await fullReads();
    await readAll((page) => finders().findOpenPayments(page), 50);
    await readAll((page) => finders().findPendingRefunds(page), 50);
    await readAll((page) => finders().findOpenWebhooks(page), 50);
    const moved = await readAll((page) => finders().findMovedPayments({ ...page, sinceMs: 3 * 60 * 60_000 }), 50);
    assert.ok(moved.some(({ settled }) => settled) && moved.some(({ settled }) => !settled));
    await finders().findLedgerDifferences({ sinceMs: 10 * 60_000, after: null, limit: 500 });
    assert.deepEqual(await fullReads(), before, 'a table was read from end to end');

    await payment.$queryRaw`select count(*) from payments where method = 'cash'`;
    assert.notDeepEqual(await fullReads(), before, 'the statistics show a table that is read from end to end');
  });

  /** How often each table was read from end to end. A session says so when it ends. */
  async function fullReads(): Promise<unknown[]> {
    await payment.$disconnect();
    await eventually('the sessions of the service have ended', async () => {
      const open = await query(
        adminUrl,
        `select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
      );
      return open.length === 0 ? true : undefined;
    });
    return query(
      adminUrl,
      `select relname, seq_scan::integer as times from pg_stat_user_tables
       where relname in ('payments', 'refunds', 'payment_webhooks') order by relname`,
    );
  }

  async function readAll<T>(read: (page: PageInput) => Promise<Page<T>>, limit: number): Promise<T[]> {
    const all: T[] = [];
    for (let after: string | null = null; ;) {
      const { items, next }: Page<T> = await read({ after, limit });
      assert.ok(items.length <= limit);
      all.push(...items);
      if (next === null) return all;
      after = next;
    }
  }
});
