import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { paymentIdFor, settlementIdFor } from '../../events/ids.ts';
import { audit, type Audited } from '../../infra/audit/audit.ts';
import type { GatewayLedger, LedgerQuery } from '../../infra/payment-gateway/ledger.ts';
import { simulatedLedger } from '../../infra/payment-gateway/simulated-ledger.ts';
import { type AuditedShop, openAuditedShop } from '../support/audited-shop.ts';
import { WITHOUT_RELAYS } from '../support/commands.ts';
import { MADE, PLANTED, type Planted } from '../support/planted-findings.ts';

describe('each rule of the audit', function () {
  this.timeout(180_000); // an order for each rule, made and looked at once
  let shop: AuditedShop;
  let audited: Audited;
  const asked: LedgerQuery[] = [];
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
    const ledger = heard(simulatedLedger({ url: shop.gatewayUrl, timeoutMs: 5_000 }), asked);
    const { urls, workflows } = shop;
    audited = await audit({ urls, ledger, workflows }, { only: WITHOUT_RELAYS, recheckAfterMs: 50 });
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

  it('reads the books once, and then of the charges that it looks at again alone', async () => {
    const [all, again, ...more] = asked;
    assert.deepEqual([all?.providerIds, all?.orderIds, again?.orderIds, more], [undefined, undefined, undefined, []]);
    const suspects = audited.findings.flatMap(({ invariant, orderId }) =>
      invariant === 4 || invariant === 5 ? orderId : [],
    );
    const charges = await shop.ask(
      'payment',
      `select provider_payment_id as id from payments where order_id = any($1::uuid[]) and provider_payment_id is not null`,
      [[...new Set(suspects)]],
    );
    assert.deepEqual(again?.providerIds?.toSorted(), ['ch_kept', ...charges.map(({ id }) => String(id))].toSorted());
    assert.ok(charges.length < PLANTED.length / 2, `${charges.length} charges are most of the books`);
  });
});

/** The same books; what is asked of them is remembered. */
const heard = (ledger: GatewayLedger, asked: LedgerQuery[]): GatewayLedger => ({
  provider: ledger.provider,
  charges: (query) => {
    asked.push(query);
    return ledger.charges(query);
  },
});
