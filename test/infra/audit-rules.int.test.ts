import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { paymentIdFor, settlementIdFor } from '../../events/ids.ts';
import type { Audited } from '../../infra/audit/audit.ts';
import { type AuditedShop, openAuditedShop } from '../support/audited-shop.ts';
import { MADE, PLANTED, type Planted } from '../support/planted-findings.ts';

describe('each rule of the audit', function () {
  this.timeout(60_000);
  let shop: AuditedShop;
  let audited: Audited;
  const idsOf = new Map<Planted, Readonly<Record<string, string>>>();

  /** All of it is planted in one shop and looked at once: each finding tells which order it is about. */
  before(async () => {
    shop = await openAuditedShop();
    for (const planted of PLANTED) {
      const made: Readonly<{ orderId: string; refundId?: string }> = await MADE[planted.made](shop);
      const { orderId, refundId = 'none' } = made;
      idsOf.set(planted, {
        ...{ '{order}': orderId, '{payment}': paymentIdFor(orderId), '{refund}': refundId },
        ...{ '{settlement}': settlementIdFor(orderId), '{stranger}': randomUUID() },
      });
    }
    assert.deepEqual((await shop.audit({ only: [1, 2, 5, 9] })).findings, [], 'what is planted finds a sound shop');
    for (const planted of PLANTED) {
      for (const [database, sql] of planted.damage) await shop.damage(database, filled(planted, sql));
    }
    audited = await shop.audit();
  });
  after(() => shop.close());

  const filled = (planted: Planted, text: string): string =>
    Object.entries(idsOf.get(planted) ?? {}).reduce((now, [name, id]) => now.replaceAll(name, id), text);
  /** What is found that names an id of this order, or a row that is expected besides. */
  const foundOf = (planted: Planted): Map<string, string> => {
    const ids = Object.values(idsOf.get(planted) ?? {}).filter((id) => id !== 'none');
    const rows = Object.keys(planted.named).map((row) => filled(planted, row));
    const own = audited.findings.filter(
      ({ invariant, row, orderId }) =>
        rows.includes(`${invariant} ${row}`) || ids.some((id) => id === orderId || row.includes(id)),
    );
    return new Map(own.map(({ invariant, row, is, shouldBe }) => [`${invariant} ${row}`, `${is} → ${shouldBe}`]));
  };

  for (const planted of PLANTED) {
    it(`names ${planted.what}`, () => {
      const found = foundOf(planted);
      const rows = Object.keys(planted.named).map((row) => filled(planted, row));
      assert.deepEqual([...found.keys()].sort(), rows.toSorted(), JSON.stringify([...found], null, 1));
      for (const [row, said] of Object.entries(planted.named)) {
        assert.match(found.get(filled(planted, row)) ?? '', new RegExp(filled(planted, said.source)));
      }
    });
  }

  it('names nothing that was not planted', () => {
    const explained = new Set(PLANTED.flatMap((planted) => [...foundOf(planted).keys()]));
    const rest = audited.findings.filter(({ invariant, row }) => !explained.has(`${invariant} ${row}`));
    assert.deepEqual(rest, []);
    assert.deepEqual([audited.inProgress, audited.unknown, audited.overfull], [[], [], []]);
  });
});
