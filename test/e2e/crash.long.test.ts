import assert from 'node:assert/strict';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { type Child, startChild } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { abandonedReservations, factsOf, leakedStock } from '../support/saga-facts.ts';
import { startSystem, type TestSystem } from '../support/system.ts';
import { tcpProxy } from '../support/tcp-proxy.ts';

const MUG = { productId: '101', variantId: '1011', quantity: 1 };

describe('a checkout whose servers are killed', function () {
  this.timeout(240_000);
  let system: TestSystem;

  before(async () => {
    system = await startSystem();
  });
  after(() => system.stop());

  const place = async (): Promise<string> => {
    const { status, body } = await system.shop.place({ items: [MUG], prefer: 'respond-async' });
    assert.equal(status, 202);
    return String(body['orderId']);
  };
  const completes = async (orderId: string): Promise<void> => {
    const result: unknown = await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();
    assert.deepEqual(result, { status: 'COMPLETED' });
    const { header, ledger, order, payment, gateway } = await factsOf(system, orderId);
    assert.deepEqual([header, order?.status, payment?.status], ['COMMITTED', 'PAID', 'CAPTURED']);
    assert.deepEqual(
      ledger.map(({ type }) => type),
      ['RESERVED', 'COMMITTED'],
    );
    assert.equal(gateway.length, 1, 'one charge');
    assert.deepEqual(await leakedStock(system), []);
    assert.deepEqual(await abandonedReservations(system), []);
  };
  /** Kills the worker, lets a new one finish the order, and stops it. */
  const replaceWorker = async (killed: Child, orderId: string): Promise<void> => {
    await killed.kill();
    const next = await system.startWorkers();
    await completes(orderId);
    await next.stop();
  };

  it('is finished by a new worker when the first was killed after the reservation had committed', async () => {
    const url = new URL(system.env['PLATFORM_DATABASE_URL'] ?? '');
    const proxy = await tcpProxy(Number(url.port));
    url.port = String(proxy.port);
    const worker = await startChild('workers/main.ts', { ...system.env, PLATFORM_DATABASE_URL: url.href });
    const committed = proxy.muteAfter('COMMIT');
    const orderId = await place();
    await committed;
    await eventually('the reservation is visible', async () => {
      const { header } = await factsOf(system, orderId);
      return header === 'RESERVED' ? header : undefined;
    });
    await replaceWorker(worker, orderId);
    await proxy.close();
  });

  it('is finished by a new worker, with one charge, when the first was killed after the gateway had charged', async () => {
    const worker = await system.startWorkers();
    await system.fault({ route: 'confirm', times: 1, kind: 'hold', ms: 60_000 });
    const orderId = await place();
    await eventually('the gateway has charged', async () => {
      const { gateway } = await factsOf(system, orderId);
      return gateway.length > 0 ? gateway : undefined;
    });
    await replaceWorker(worker, orderId);
  });

  it('is finished by a new worker when the first was killed before the order was marked paid', async () => {
    const worker = await system.startWorkers();
    // Whoever holds the decision row holds up the step: the worker is killed inside its transaction.
    const holder = await system.connect('order');
    await system.fault({ route: 'confirm', times: 1, kind: 'hold', ms: 60_000 });
    const orderId = await place();
    await eventually('the gateway has charged', async () => {
      const { gateway } = await factsOf(system, orderId);
      return gateway.length > 0 ? gateway : undefined;
    });
    await holder.query('begin');
    await holder.query('select from order_marks where order_id = $1 for update', [orderId]);
    await system.clearFaults();
    await eventually('markOrderPaid waits for the row', async () => {
      const waiting = await system.query('order', 'select from pg_locks where not granted');
      return waiting.length > 0 ? waiting : undefined;
    });
    assert.equal((await factsOf(system, orderId)).payment?.status, 'CAPTURED');
    assert.equal((await factsOf(system, orderId)).order?.status, 'PENDING');
    await worker.kill();
    await holder.query('rollback');
    await replaceWorker(worker, orderId);
  });

  it('lets a charge in flight finish, in its first attempt, before a worker that is asked to stop ends', async () => {
    const worker = await system.startWorkers();
    await system.fault({ route: 'confirm', times: 1, kind: 'delay', ms: 3_000 });
    const orderId = await place();
    const handle = system.temporal.workflow.getHandle(checkoutWorkflowId(orderId));
    await eventually('the charge is in flight', async () => {
      const { raw } = await handle.describe();
      const [pending] = raw.pendingActivities ?? [];
      const { payment } = await factsOf(system, orderId);
      return pending?.activityType?.name === 'capturePayment' && payment !== undefined ? pending : undefined;
    });
    assert.equal(await worker.stop(), 0);
    const { payment, order, gateway } = await factsOf(system, orderId);
    assert.deepEqual([payment?.status, order?.status, gateway.length], ['CAPTURED', 'PENDING', 1]);

    const next = await system.startWorkers();
    await completes(orderId);
    await next.stop();
    const { events } = await handle.fetchHistory();
    const attempts = events?.flatMap(({ activityTaskStartedEventAttributes: started }) => started?.attempt ?? []);
    assert.ok(
      attempts?.every((attempt) => attempt === 1),
      `attempts were ${attempts?.join(', ')}`,
    );
  });

  it('is finished after Temporal itself was killed and started again on its file', async () => {
    const worker = await system.startWorkers();
    const orderIds = await Promise.all(Array.from({ length: 10 }, place));
    await system.crashTemporal();
    for (const orderId of orderIds) await completes(orderId);
    assert.equal(await worker.stop(), 0);
  });

  it('leaves stock that nobody will free only when somebody ends its workflow by force, which is noticed', async () => {
    const worker = await system.startWorkers();
    await system.fault({ route: 'confirm', times: 1, kind: 'hold', ms: 60_000 });
    const orderId = await place();
    await eventually('the gateway has charged', async () => {
      const { gateway } = await factsOf(system, orderId);
      return gateway.length > 0 ? gateway : undefined;
    });
    assert.equal((await factsOf(system, orderId)).header, 'RESERVED');
    assert.deepEqual(await abandonedReservations(system), []);

    await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).terminate();
    assert.deepEqual(await abandonedReservations(system), [orderId]);
    await system.clearFaults();
    assert.equal(await worker.stop(), 0);
  });
});
