import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';

import type { PageInput, WebhookRef } from '../../activities/payments/contract.ts';
import type { ReconcileInput, ReconcilePosition, ReconcileResult, ReconcileRow } from '../../domain/reconcile.ts';
import { refundWorkflowId, repairWorkflowId, webhookWorkflowId } from '../../domain/workflow-ids.ts';
import { RECONCILE_WORKFLOW, REPAIR_WORKFLOW } from '../../workflows/contract.ts';
import type { reconcile } from '../../workflows/reconcile.ts';
import type { repair } from '../../workflows/repair.ts';
import type { WorkRun } from '../support/bench-run.ts';
import { Gate, refuses, type Script, SEARCH, type StepName } from '../support/fake-services.ts';
import { temporalServer } from '../support/servers.ts';
import { WorkflowBench } from '../support/workflow-bench.ts';

const MOST_ROWS = 500;
const AT_ONCE = 20;

type Leftovers = Readonly<{
  stock?: readonly string[];
  orders?: readonly string[];
  payments?: readonly string[];
  refunds?: readonly Readonly<{ refundId: string; orderId: string }>[];
  webhooks?: readonly WebhookRef[];
  ledger?: readonly string[];
}>;

const refs = (orderIds: readonly string[] = []) => orderIds.map((orderId) => ({ orderId }));
const page = <T>(items: readonly T[] = []) => ({ items, next: null });
const ids = (count: number): string[] => Array.from({ length: count }, () => randomUUID());

const finding = (left: Leftovers): Script => ({
  findReservedOrders: () => page(refs(left.stock)),
  findPendingOrders: () => page(refs(left.orders)),
  findOpenPayments: () => page(refs(left.payments)),
  findPendingRefunds: () => page(left.refunds),
  findOpenWebhooks: () => page(left.webhooks),
  findLedgerDifferences: () => page(refs(left.ledger)),
});

describe('reconciling', () => {
  let bench: WorkflowBench;
  let connection: Connection;
  let client: Client;
  before(async () => {
    bench = await WorkflowBench.onDevServer();
    connection = await Connection.connect({ address: (await temporalServer()).address });
    client = new Client({ connection });
  });
  after(async () => {
    await connection?.close();
    await bench?.close();
  });

  /** @param about orders, refunds and events whose own steps the script answers too */
  const start = (
    apply: boolean,
    script: Script,
    about: string[] = [],
    more: Omit<ReconcileInput, 'apply'> = {},
  ): Promise<WorkRun<typeof reconcile>> => {
    const id = `reconcile-test-${randomUUID()}`;
    const options = { orderId: SEARCH, about, script };
    return bench.startWork<typeof reconcile>(RECONCILE_WORKFLOW, id, [{ apply, ...more }], options);
  };
  const run = async (apply: boolean, script: Script, about?: string[]): Promise<ReconcileResult> =>
    (await start(apply, script, about)).result();
  const brief = ({ rows }: ReconcileResult) => rows.map(({ id, found, action, result }) => [id, found, action, result]);

  it('finds nothing where nothing is left', async () => {
    const nothing = { rows: [], next: null, unreachable: [] };
    assert.deepEqual(await run(true, {}), { apply: true, ...nothing });
  });

  it('lists what every source knows, one row per order, refund and event, and starts nothing in a dry run', async () => {
    const [held, pending, paid, ofRefund, differs] = ids(5) as [string, string, string, string, string];
    const refundId = randomUUID();
    const event = { provider: 'simulated', eventId: `evt/${randomUUID()}` };
    const search = await start(
      false,
      finding({
        stock: [held, pending],
        orders: [pending],
        payments: [pending, paid],
        refunds: [{ refundId, orderId: ofRefund }],
        webhooks: [event],
        ledger: [paid, differs, ofRefund],
      }),
    );
    const result = await search.result();
    const common = { result: 'FOUND', detail: null } as const;
    const checkout = { kind: 'checkout', action: 'repair', ...common } as const;
    assert.deepEqual(result.rows, [
      { ...checkout, id: held, orderId: held, found: ['stock RESERVED'] },
      { ...checkout, id: pending, orderId: pending, found: ['stock RESERVED', 'order PENDING', 'payment open'] },
      { ...checkout, id: paid, orderId: paid, found: ['payment open', 'gateway ledger differs'] },
      {
        ...{ kind: 'refund', id: refundId, orderId: ofRefund, action: 'refund', ...common },
        found: ['refund PENDING', 'gateway ledger differs'],
      },
      {
        ...{ kind: 'webhook', id: `simulated/${event.eventId}`, orderId: null, action: 'webhook', ...common },
        found: ['webhook without outcome'],
      },
      { ...checkout, kind: 'ledger', id: differs, orderId: differs, found: ['gateway ledger differs'] },
    ] satisfies ReconcileRow[]);
    assert.deepEqual([result.next, result.unreachable], [null, []]);
    const steps: StepName[] = [...search.steps].sort();
    assert.deepEqual(steps, [
      'findLedgerDifferences',
      'findMovedPayments',
      'findOpenPayments',
      'findOpenWebhooks',
      'findPendingOrders',
      'findPendingRefunds',
      'findReservedOrders',
    ]);
    const started = [repairWorkflowId(held), refundWorkflowId(refundId), webhookWorkflowId('simulated', event.eventId)];
    for (const id of started) await assert.rejects(client.workflow.getHandle(id).describe(), WorkflowNotFoundError);
  });

  it('starts one workflow for each, waits for them, and says what they came to', async () => {
    const orderId = randomUUID();
    const refund = { refundId: randomUUID(), orderId: randomUUID() };
    const event = { provider: 'simulated', eventId: `evt/${randomUUID()}` };
    const about = [orderId, refund.refundId, refund.orderId, event.eventId];
    const script = finding({ stock: [orderId], refunds: [refund], webhooks: [event] });
    const search = await start(true, script, about);
    const { rows } = await search.result();
    assert.deepEqual(
      rows.map(({ id, result, detail }) => [id, result, detail]),
      [
        [orderId, 'REPAIRED', 'UNDONE CHECKOUT_FAILED'],
        [refund.refundId, 'REPAIRED', 'SUCCEEDED'],
        [`simulated/${event.eventId}`, 'REPAIRED', 'UNKNOWN_CHARGE'],
      ],
    );
    const inputOf = (wanted: StepName) => search.calls.find(({ step }) => step === wanted)?.input;
    assert.deepEqual(inputOf('abandonPayment'), { orderId });
    assert.deepEqual(inputOf('beginRefund'), { ...refund, request: null, lines: [] });
    assert.deepEqual(inputOf('applyWebhook'), event);
  });

  it('leaves alone what a checkout works on, and what ended while it looked', async () => {
    const gate = new Gate();
    const live = await bench.start({ createOrder: gate.before(refuses('CHECKOUT_ABANDONED')) });
    await gate.reached;
    const ended = randomUUID();
    const search = await start(true, {
      ...finding({ stock: [live.orderId], ledger: [live.orderId] }),
      findPendingOrders: (_input, call) => page(call === 1 ? refs([ended]) : []),
      findLedgerDifferences: (_input, call) => page(refs(call === 1 ? [ended] : [])),
    });
    assert.deepEqual((await search.result()).rows, []);
    gate.open();
    await live.result();
  });

  it('leaves alone a repair that is parked', async () => {
    const orderId = randomUUID();
    const about = { orderId, script: { closeOrder: refuses('NOT_CANCELLABLE') } };
    const id = repairWorkflowId(orderId);
    const parked = await bench.startWork<typeof repair>(REPAIR_WORKFLOW, id, [{ orderId }], about);
    await parked.statusWhen(({ status }) => status === 'NEEDS_ATTENTION');
    assert.deepEqual((await run(true, finding({ stock: [orderId], ledger: [orderId] }))).rows, []);
    await parked.resolve('markDone');
    await parked.result();
  });

  it('does not call the books wrong while a refund of the order is under way', async () => {
    const { refundId, orderId } = { refundId: randomUUID(), orderId: randomUUID() };
    const gate = new Gate();
    const going = await bench.startWork('refund', refundWorkflowId(refundId), [{ refundId, orderId, request: null }], {
      orderId,
      about: [refundId],
      script: { refundAtGateway: gate.before(() => ({ status: 'SUCCEEDED', failureCode: null })) },
    });
    await gate.reached;
    assert.deepEqual((await run(true, finding({ refunds: [{ refundId, orderId }], ledger: [orderId] }))).rows, []);
    gate.open();
    await going.result();
  });

  it('reports a difference in the books as left when the repair did not help, and as repaired when it did', async () => {
    const [helped, stays] = ids(2) as [string, string];
    const result = await run(
      true,
      { findLedgerDifferences: (_input, call) => page(refs(call <= 2 ? [helped, stays] : [stays])) },
      [helped, stays],
    );
    assert.deepEqual(brief(result), [
      [helped, ['gateway ledger differs'], 'repair', 'REPAIRED'],
      [stays, ['gateway ledger differs'], 'repair', 'LEFT'],
    ]);
  });

  it('goes through the other sources when one does not answer, and names it', async () => {
    const orderId = randomUUID();
    const script = { ...finding({ stock: [orderId] }), findPendingOrders: refuses('INTERNAL_ERROR') };
    const result = await run(true, script, [orderId]);
    assert.deepEqual(result.unreachable, [{ source: 'orders', reason: 'INTERNAL_ERROR: refused with INTERNAL_ERROR' }]);
    assert.deepEqual(brief(result), [[orderId, ['stock RESERVED'], 'repair', 'REPAIRED']]);
  });

  /** A source of so many orders, in pages. */
  const pagesOf =
    (all: readonly string[]) =>
    ({ after, limit }: PageInput) => {
      const first = after === null ? 0 : all.indexOf(after) + 1;
      const items = all.slice(first, first + limit);
      return { items: refs(items), next: first + limit < all.length ? (items.at(-1) ?? null) : null };
    };

  it('reads page by page, takes on a bounded number, and goes on there in the next run, without what is done', async () => {
    const [held, pending] = [ids(700), ids(300)];
    const script = { findReservedOrders: pagesOf(held), findPendingOrders: pagesOf(pending) };
    const seen: string[] = [];
    const steps: StepName[][] = [];
    for (let from: ReconcilePosition | null | undefined; from !== null;) {
      const search = await start(false, script, [], from === undefined ? {} : { from });
      const { rows, next }: ReconcileResult = await search.result();
      assert.ok(rows.length > 0 && rows.length <= MOST_ROWS, `${rows.length} rows`);
      seen.push(...rows.map(({ id }) => id));
      steps.push([...search.steps]);
      from = next;
    }
    assert.deepEqual(seen.toSorted(), [...held, ...pending].toSorted());
    assert.deepEqual([steps.length, steps[0]?.includes('findOpenPayments')], [2, true]);
    assert.ok(!steps[1]?.includes('findOpenPayments'), 'a source that was at its end was read again');
  });

  it('comes to a leftover behind more live rows than one run looks through', async () => {
    const gate = new Gate();
    const live = await bench.start({ createOrder: gate.before(refuses('CHECKOUT_ABANDONED')) });
    await gate.reached;
    const lost = randomUUID();
    const script: Script = {
      findOpenPayments: ({ after }) => {
        const page = Number(after ?? 0) + 1;
        return { items: refs([page <= 85 ? live.orderId : lost]), next: page <= 85 ? String(page) : null };
      },
    };
    const first = await run(false, script);
    assert.deepEqual([first.rows, first.next], [[], { payments: '80' }]);
    const second = await (await start(false, script, [], { from: first.next ?? {} })).result();
    assert.deepEqual([brief(second), second.next], [[[lost, ['payment open'], 'repair', 'FOUND']], null]);
    gate.open();
    await live.result();
  });

  it('goes on by itself to the end where that is asked for, as the Schedule does', async () => {
    const held = ids(700);
    const search = await start(false, { findReservedOrders: pagesOf(held) }, [], { goOn: true });
    const { rows, next } = await search.result();
    assert.deepEqual([rows.map(({ id }) => id), next], [held.slice(MOST_ROWS), null]);
  });

  it('has a bounded number of repairs at once', async () => {
    const all = ids(AT_ONCE + 5);
    const search = await start(true, finding({ stock: all }), all);
    const { rows } = await search.result();
    assert.deepEqual([rows.length, new Set(rows.map(({ result }) => result))], [all.length, new Set(['REPAIRED'])]);

    const { events } = await search.handle.fetchHistory();
    let [open, most] = [0, 0];
    for (const event of events ?? []) {
      if (event.startChildWorkflowExecutionInitiatedEventAttributes != null) most = Math.max(most, ++open);
      if (event.childWorkflowExecutionCompletedEventAttributes != null) open -= 1;
    }
    assert.equal(most, AT_ONCE);
  });

  it('is content with a repair that somebody else started meanwhile', async () => {
    const orderId = randomUUID();
    const gate = new Gate();
    let other: WorkRun<typeof repair> | undefined;
    const search = await start(true, {
      findReservedOrders: async (_input, call) => {
        if (call === 2) {
          const script = { readHeader: gate.before(() => null) };
          const about = { orderId, script };
          other = await bench.startWork<typeof repair>(
            REPAIR_WORKFLOW,
            repairWorkflowId(orderId),
            [{ orderId }],
            about,
          );
        }
        return page(refs([orderId]));
      },
    });
    const { rows } = await search.result();
    assert.deepEqual(
      rows.map(({ result, detail }) => [result, detail]),
      [['RUNNING', 'it was started by somebody else']],
    );
    gate.open();
    await other?.result();
  });

  it('says that a repair failed which somebody terminated', async () => {
    const orderId = randomUUID();
    const gate = new Gate();
    const search = await start(true, { ...finding({ stock: [orderId] }), readHeader: gate.before(() => null) }, [
      orderId,
    ]);
    await gate.reached;
    await client.workflow.getHandle(repairWorkflowId(orderId)).terminate();
    const { rows } = await search.result();
    assert.deepEqual(
      rows.map(({ result }) => result),
      ['FAILED'],
    );
    gate.open();
  });
});
