import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { paymentIdFor } from '../../events/ids.ts';
import type { Audited } from '../../infra/audit/audit.ts';
import { type AuditedShop, CUSTOMER, openAuditedShop } from '../support/audited-shop.ts';
import { fillViews } from '../support/filled-views.ts';
import { PLANTED_IN_VIEWS, savedViews } from '../support/planted-views.ts';
import { VIEW_TABLES } from '../support/views.ts';

describe('the audit of the views', function () {
  this.timeout(60_000);
  let shop: AuditedShop;
  let restore: () => Promise<unknown>;
  const ids: Record<string, string> = {};

  before(async () => {
    shop = await openAuditedShop();
    await shop.oneOfEach();
    const [paid, refunded, declined] = [await shop.paid(), await shop.paid(), await shop.declined()];
    await shop.refunded(refunded, { lines: [{ lineNo: 1, quantity: 1, restock: true }] });
    await shop.refunded(refunded, {});
    await shop.steps.place();
    await fillViews(shop);
    restore = await savedViews(shop);
    const [stock] = await shop.ask(
      'platform',
      `select product_id || '-' || coalesce(variant_id, 0) || '-' || location_code as name, product_id::text as product,
         ((now() at time zone 'Asia/Seoul')::date)::text as today, ((now() at time zone 'Asia/Seoul')::date - 400)::text as past
       from inventory_snapshots where product_id > 105 and version = 1 and stock_status = 'IN_STOCK' limit 1`,
    );
    const { name, product, today, past } = stock as Record<'name' | 'product' | 'today' | 'past', string>;
    Object.assign(ids, {
      ...{ '{order}': paid.orderId, '{payment}': paymentIdFor(paid.orderId), '{refunded}': refunded.orderId },
      ...{ '{declined}': declined.orderId, '{stranger}': randomUUID(), '{customer}': CUSTOMER, '{user}': '33' },
      ...{ '{stock}': name, '{stocked}': product, '{today}': today, '{long ago}': past },
    });
  });
  after(() => shop.close());
  afterEach(() => restore());

  const look = () => shop.audit({ only: [8] });
  const filled = (text: string): string =>
    Object.entries(ids).reduce((now, [placeholder, id]) => now.replaceAll(placeholder, id), text);
  const said = ({ findings }: Audited) =>
    new Map(findings.map(({ row, is, shouldBe }) => [row, `${is} → ${shouldBe}`]));

  it('finds nothing in views that have all events, and looks at every row', async () => {
    const { findings, inProgress, unknown, overfull, notes, invariants } = await look();
    assert.deepEqual(
      { findings, inProgress, unknown, overfull, notes },
      { findings: [], inProgress: [], unknown: [], overfull: [], notes: [] },
    );
    const counts = await Promise.all(
      VIEW_TABLES.map((table) => shop.ask('views', `select count(*)::integer as rows from ${table}`)),
    );
    const rows = counts.flat().reduce((sum, row) => sum + Number((row as { rows: number }).rows), 0);
    assert.ok(rows > 700 && (invariants[0]?.looked ?? 0) >= rows, `${invariants[0]?.looked} of ${rows}`);
  });

  for (const { what, damage, named } of PLANTED_IN_VIEWS) {
    it(`names ${what}`, async () => {
      await shop.damage('views', filled(damage));
      const found = said(await look());
      assert.deepEqual([...found.keys()].sort(), Object.keys(named).map(filled).sort(), JSON.stringify([...found]));
      for (const [row, text] of Object.entries(named)) {
        assert.match(found.get(filled(row)) ?? '', new RegExp(filled(text.source)));
      }
    });
  }
});
