import assert from 'node:assert/strict';

import type { Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { moneyOf, SHORT_LIMITS } from '../support/money-shop.ts';
import { factsOf } from '../support/saga-facts.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const HELD_MS = 60_000;
/** Of the killed worker: it must still be waiting for the answer when it dies. */
const PATIENCE_MS = 20_000;

describe('a refund whose worker is killed', function () {
  this.timeout(120_000);
  let system: TestSystem;
  let shop: ReturnType<typeof moneyOf>;
  let workers: Child;

  before(async () => {
    system = await startSystem({ env: { ...SHORT_LIMITS, GATEWAY_TIMEOUT_MS: String(PATIENCE_MS) } });
    shop = moneyOf(system);
    workers = await system.startWorkers();
  });
  after(() => system.stop());

  it('is made once though the gateway had given the money back already', async () => {
    const orderId = await shop.place();
    assert.deepEqual(await shop.ended(orderId), { status: 'COMPLETED' });
    await shop.fault(orderId, { route: 'refund', kind: 'hold', ms: HELD_MS });
    const answer = await system.shop.refund(orderId, {});
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    await eventually('the gateway has given the money back', async () => {
      const { kept } = await shop.outcomeOf(orderId);
      return kept === 'nothing' ? true : undefined;
    });
    assert.equal((await shop.outcomeOf(orderId)).payment, 'CAPTURED', 'and nobody knows');
    await workers.kill();
    await system.clearFaults();
    workers = await system.startWorkers();
    assert.deepEqual(await shop.refundEnded(String(answer.body['refundId'])), { status: 'SUCCEEDED' });
    const { gateway } = await factsOf(system, orderId);
    assert.deepEqual(
      gateway.map(({ kind }) => kind),
      ['CAPTURE', 'REFUND'],
    );
    const { order, payment } = await shop.outcomeOf(orderId);
    assert.deepEqual([order, payment], ['REFUNDED', 'REFUNDED']);
  });

  it('leaves books that agree', () => shop.booksAgree());
});
