import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import type { History } from '../../infra/temporal-history.ts';
import { audited, runEntry } from '../support/commands.ts';
import { eventually } from '../support/eventually.ts';
import { clearIn, keyIdsIn } from '../support/history-payloads.ts';
import { BANK, SHORT_LIMITS } from '../support/money-shop.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const MUG = { productId: '101', variantId: '1011', quantity: 1 };
const KEYS = `2026-11:${randomBytes(32).toString('base64')}`;
const LIMIT_MS = 120_000;
/** Search attributes, by which operators look for workflows, and the ids of the trace: both are no payloads to Temporal. */
const IN_CLEAR = /\.(searchAttributes\.indexedFields\.\w+|header\.fields\._tracer-data)$/;

describe('the whole system with encrypted payloads', function () {
  this.timeout(300_000);
  let system: TestSystem;
  const histories = new Map<string, History>();

  before(async () => {
    system = await startSystem({
      env: { ...SHORT_LIMITS, TEMPORAL_PAYLOAD_ENCRYPTION: 'on', TEMPORAL_PAYLOAD_KEYS: KEYS },
      reconcileIntervalMs: 24 * 3_600_000,
    });
    await system.startWorkers();
  });
  after(() => system.stop());

  const orderIn = async (orderId: string, status: string) =>
    eventually(`order ${orderId} is ${status}`, async () =>
      (await system.shop.order(orderId)).body['status'] === status ? true : undefined,
    );
  const place = async (order: object): Promise<string> => {
    const { status, body } = await system.shop.place({ items: [MUG], ...order });
    assert.equal(status, 201);
    return String(body['orderId']);
  };

  it('buys, refuses, refunds, cancels and repairs', async () => {
    const paid = await place({});
    const declined = await place({ token: 'tok_declined' });
    const cancelled = await place({ payment: BANK });
    const lost = await place({ payment: BANK });
    await orderIn(paid, 'PAID');
    await orderIn(declined, 'FAILED');

    assert.equal((await system.shop.refund(paid, {})).status, 202);
    assert.equal((await system.shop.cancel(cancelled)).status, 200);
    await system.temporal.workflow.getHandle(checkoutWorkflowId(lost)).terminate();
    await eventually(
      'nothing is left to repair',
      async () => {
        const { code, stderr } = await runEntry('cli/reconcile.ts', ['--apply'], system.env, LIMIT_MS);
        assert.ok(code === 0 || code === 1, stderr);
        return (await system.shop.order(lost)).body['status'] === 'PENDING' ? undefined : true;
      },
      LIMIT_MS,
    );
    await orderIn(cancelled, 'CANCELLED');
    await orderIn(paid, 'REFUNDED');
    const { code, stdout, stderr } = await audited(system);
    assert.equal(code, 0, stdout + stderr);
  });

  it('leaves nothing but ciphertext in any history, messages of failures included', async () => {
    const { workflow, workflowService } = system.temporal; // without a key
    const { executions } = await workflowService.listWorkflowExecutions({ namespace: 'default' });
    for (const { execution } of executions) {
      const id = execution?.workflowId ?? assert.fail('a workflow without an id');
      histories.set(id, await workflow.getHandle(id).fetchHistory());
    }
    const types = new Set([...histories.keys()].map((id) => id.replace(/-.*/, '')));
    for (const type of ['checkout', 'refund', 'repair', 'reconcile']) assert.ok(types.has(type), [...types].join());
    for (const [workflowId, history] of histories) {
      assert.deepEqual(keyIdsIn(history), ['2026-11'], workflowId);
      const clear = clearIn(history).filter(({ path }) => !IN_CLEAR.test(path));
      assert.deepEqual(clear, [], workflowId);
    }
    const messages = [...histories.values()].flatMap(failureMessages);
    assert.ok(messages.includes('Encoded failure'), 'no failure is in any history');
    assert.deepEqual(
      messages.filter((message) => message !== 'Encoded failure'),
      [],
    );
  });

  it('replays what is encrypted with the key, and says without it which one is missing', async () => {
    const ids = [...histories.keys()].filter((id) => /^(checkout|refund|repair)-/.test(id));
    const replay = (env: object) => runEntry('workers/replay.ts', ids, { ...system.env, ...env }, LIMIT_MS);
    const { code, stdout, stderr } = await replay({});
    assert.equal(code, 0, stdout + stderr);
    for (const id of ids) assert.match(stdout, new RegExp(`^${id}: ok \\(\\d+ events\\)$`, 'm'));

    const without = await replay({ TEMPORAL_PAYLOAD_ENCRYPTION: 'off', TEMPORAL_PAYLOAD_KEYS: '' });
    assert.deepEqual([without.code, without.stdout], [2, '']);
    assert.match(without.stderr, /cannot be read: no key 2026-11: add it to TEMPORAL_PAYLOAD_KEYS/);
  });
});

/** Messages and stacks of failures, wherever they are in a history. */
function failureMessages(value: unknown): string[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return [];
  const own = 'failure' in value || 'cause' in value ? [value] : [];
  const said = own.flatMap((holder) =>
    ['failure', 'cause'].flatMap((name) => {
      const failure = (holder as Record<string, unknown>)[name];
      if (typeof failure !== 'object' || failure === null || !('message' in failure)) return [];
      const { message, stackTrace = '' } = failure as { message: string; stackTrace?: string };
      return [message, stackTrace].filter((text) => text !== '');
    }),
  );
  return [...said, ...Object.values(value).flatMap(failureMessages)];
}
