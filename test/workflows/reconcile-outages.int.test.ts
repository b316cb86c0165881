import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { ReconcileResult } from '../../domain/reconcile.ts';
import { RECONCILE_WORKFLOW } from '../../workflows/contract.ts';
import type { reconcile } from '../../workflows/reconcile.ts';
import { isDown, refuses, type Script, SEARCH } from '../support/fake-services.ts';
import { timeSkippingBench } from '../support/time-skipping.ts';
import type { WorkflowBench } from '../support/workflow-bench.ts';

const ORDER_IDS = [randomUUID(), randomUUID()];
const found = { items: ORDER_IDS.map((orderId) => ({ orderId })), next: null };

describe('reconciling while something is down', () => {
  let bench: WorkflowBench;
  before(async function () {
    bench = await timeSkippingBench(this);
  });
  after(() => bench?.close());

  async function run(script: Script, about: string[] = ORDER_IDS): Promise<ReconcileResult> {
    const options = { orderId: SEARCH, about, script };
    const id = `reconcile-test-${randomUUID()}`;
    const started = await bench.startWork<typeof reconcile>(RECONCILE_WORKFLOW, id, [{ apply: true }], options);
    return started.result();
  }

  it('gives a service that is down two minutes, and repairs what the others know', async () => {
    const { rows, unreachable } = await run({ findReservedOrders: () => found, findOpenPayments: isDown });
    assert.deepEqual(unreachable, [{ source: 'payments', reason: 'connect ECONNREFUSED 127.0.0.1:5432' }]);
    assert.deepEqual(
      rows.map(({ id, result }) => [id, result]),
      ORDER_IDS.map((id) => [id, 'REPAIRED']),
    );
  });

  it('does not wait for repairs that are parked: they are reported as running', async () => {
    const { rows } = await run({
      findReservedOrders: () => found,
      readHeader: () => null,
      closeOrder: refuses('NOT_FOUND'),
    });
    assert.deepEqual(
      rows.map(({ result, detail }) => [result, detail]),
      ORDER_IDS.map(() => ['RUNNING', 'it goes on, or is parked']),
    );
  });
});
