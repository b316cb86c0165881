import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { RECONCILE_WORKFLOW } from '../../workflows/contract.ts';
import type { reconcile } from '../../workflows/reconcile.ts';
import { refuses, SEARCH } from '../support/fake-services.ts';
import { WorkflowBench } from '../support/workflow-bench.ts';

/** A run waits two minutes for repairs that do not end. */
const RUN_LIMIT_MS = 200_000;

describe('reconciling beside many parked repairs', function () {
  this.timeout(RUN_LIMIT_MS);
  let bench: WorkflowBench;
  before(async () => {
    bench = await WorkflowBench.onDevServer();
  });
  after(() => bench?.close());

  it('starts the others although more repairs are parked than may run at once', async () => {
    const parked = Array.from({ length: 22 }, () => randomUUID());
    const fine = randomUUID();
    const about = [...parked, fine];
    const stuck: ReadonlySet<string> = new Set(parked);
    const script = {
      findReservedOrders: () => ({ items: about.map((orderId) => ({ orderId })), next: null }),
      closeOrder: ({ orderId }: Readonly<{ orderId: string }>) =>
        stuck.has(orderId) ? refuses('NOT_FOUND')() : undefined,
    };
    const id = `reconcile-test-${randomUUID()}`;
    const options = { orderId: SEARCH, about, script };
    const started = await bench.startWork<typeof reconcile>(RECONCILE_WORKFLOW, id, [{ apply: true }], options);
    const { rows } = await started.result();
    assert.deepEqual(
      rows.map(({ id: orderId, result }) => [orderId, result]),
      [...parked.map((orderId) => [orderId, 'RUNNING']), [fine, 'REPAIRED']],
    );
  });
});
