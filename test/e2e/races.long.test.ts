import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { WorkflowNotFoundError } from '@temporalio/client';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import type { Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { abandonedReservations, leakedStock, stockOf } from '../support/saga-facts.ts';
import type { Answer, ShopClient } from '../support/shop-client.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const MUG = { productId: '101', variantId: '1011' };
const COASTER = { productId: '102' };

describe('checkouts that race and repeat', function () {
  this.timeout(240_000);
  let system: TestSystem;
  let workers: Child;
  let apis: readonly [ShopClient, ShopClient];
  /** Bearer tokens of fifty different customers. */
  let buyers: string[];

  before(async () => {
    system = await startSystem({ env: { RATE_LIMIT_PER_MINUTE: '100000', MAX_OPEN_CHECKOUTS: '1000' } });
    workers = await system.startWorkers();
    apis = [system.shop, await system.startApi()];
    const rows = await system.query<{ id: string }>(
      'platform',
      `select id::text from users where status = 'ACTIVE' order by id limit 50`,
    );
    buyers = await Promise.all(rows.map(({ id }) => system.tokenOf(id)));
    assert.equal(buyers.length, 50);
  });
  after(() => system.stop());

  const idOf = ({ body }: Answer): string => String(body['orderId']);
  const ended = (orderId: string) => system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();
  const hasStarted = async (orderId: string): Promise<boolean> => {
    try {
      await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).describe();
      return true;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  };
  const leave = async (line: Readonly<{ productId: string; variantId?: string }>, units: number) => {
    const { available } = await stockOf(system, line.productId, line.variantId ?? null);
    if (available !== units) await system.shop.adjust(line, units - available);
  };

  it('sells the last unit to one of fifty buyers at two API processes, and refuses the others', async () => {
    await leave(COASTER, 1);
    const answers = await Promise.all(
      buyers.map((bearer, i) => apis[i % 2 === 0 ? 0 : 1].place({ items: [{ ...COASTER, quantity: 1 }], bearer })),
    );
    const sold = answers.filter(({ status }) => status === 201);
    const refused = answers.filter(({ status, body }) => status === 409 && body['code'] === 'OUT_OF_STOCK');
    assert.deepEqual([sold.length, refused.length], [1, 49], JSON.stringify(answers.map(({ status }) => status)));
    for (const answer of sold) assert.deepEqual(await ended(idOf(answer)), { status: 'COMPLETED' });
    const { available, reserved, status } = await stockOf(system, '102', null);
    assert.deepEqual({ available, reserved, status }, { available: 0, reserved: 0, status: 'OUT_OF_STOCK' });
    assert.deepEqual(await leakedStock(system), []);
    await leave(COASTER, 10_000);
  });

  it('cannot be oversold by the same line twice in one cart', async () => {
    await leave(COASTER, 3);
    const twice = [
      { ...COASTER, quantity: 2 },
      { ...COASTER, quantity: 2 },
    ];
    const { status, body } = await system.shop.place({ items: twice });
    assert.equal(status, 409);
    assert.deepEqual(body['lines'], [{ lineNo: 1, productId: '102', asked: 4, available: 3 }]);
    await leave(COASTER, 10_000);
  });

  it('lets no deadlock reach anyone when 200 carts in each order hold the same two products', async () => {
    const lines = [
      { ...MUG, quantity: 1 },
      { ...COASTER, quantity: 1 },
    ];
    const carts = Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? lines : lines.toReversed()));
    const requests = carts.map((items, i) => {
      const cart = { items, bearer: buyers[i % 50] ?? '', key: randomUUID(), prefer: 'respond-async' };
      return async (): Promise<string> => {
        const answer = await apis[i % 2 === 0 ? 0 : 1].place(cart);
        assert.equal(answer.status, 202);
        return idOf(answer);
      };
    });
    const orderIds = await Promise.all(requests.map((request) => request()));
    for (const [i, orderId] of orderIds.entries()) {
      // 202 says that it may have started: on a busy machine one has not, and who wants to know asks again.
      if (!(await hasStarted(orderId))) await requests[i]?.();
      assert.deepEqual(await ended(orderId), { status: 'COMPLETED' });
    }
    const deadlocks = await deadlocksOnceReported();
    process.stdout.write(`      deadlocks that PostgreSQL counted: ${deadlocks}\n`);
    assert.equal(deadlocks, 0);
    assert.deepEqual(await leakedStock(system), []);
  });

  /**
   * Deadlocks among sessions on stock since the system was started. A session reports what it met up to ten seconds
   * later, and for certain when it ends: so all those that were open are ended first, and new workers started after.
   */
  const deadlocksOnceReported = async (): Promise<number> => {
    const OTHERS = 'datname = current_database() and pid <> pg_backend_pid()';
    assert.equal(await workers.stop(), 0);
    const open = await system.query<{ pid: number }>('platform', `select pid from pg_stat_activity where ${OTHERS}`);
    // Those that are left are idle ones of the API, which opens new ones.
    await system.query('platform', `select pg_terminate_backend(pid) from pg_stat_activity where ${OTHERS}`);
    await eventually('the sessions have ended', async () => {
      const left = await system.query('platform', 'select from pg_stat_activity where pid = any($1)', [
        open.map(({ pid }) => pid),
      ]);
      return left.length === 0 ? true : undefined;
    });
    const [row] = await system.query<{ deadlocks: number }>(
      'platform',
      'select deadlocks::int from pg_stat_database where datname = current_database()',
    );
    workers = await system.startWorkers();
    // On a busy machine their first task may take longer than a request waits, which is then answered 202.
    await eventually('the new workers serve', async () => {
      const answer = await system.shop.place({ items: [{ ...MUG, quantity: 1 }] });
      await ended(idOf(answer));
      return answer.status === 201 ? true : undefined;
    });
    return row?.deadlocks ?? -1;
  };

  it('makes one checkout of fifty requests with one key, and gives all of them the same answer', async () => {
    const key = randomUUID();
    const items = [{ ...MUG, quantity: 1 }];
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => apis[i % 2 === 0 ? 0 : 1].place({ items, key })),
    );
    const [first] = answers;
    assert.ok(first);
    for (const { status, body } of answers) assert.deepEqual([status, body], [201, first.body]);
    await ended(idOf(first));
    const ledger = await system.query('platform', 'select from inventory_events where reference_id = $1', [
      idOf(first),
    ]);
    assert.equal(ledger.length, 2, 'one reservation and one commit');
  });

  it('answers a key again long after, refuses it for another body, and knows it only from its own caller', async () => {
    const key = randomUUID();
    const items = [{ ...MUG, quantity: 1 }];
    const first = await system.shop.place({ items, key });
    assert.equal(first.status, 201);
    await ended(idOf(first));

    const again = await system.shop.place({ items, key });
    assert.deepEqual([again.status, again.body], [201, first.body]);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
    const other = await system.shop.place({ items: [{ ...MUG, quantity: 2 }], key });
    assert.deepEqual([other.status, other.body['code']], [422, 'IDEMPOTENCY_KEY_REUSED']);
    const stranger = await system.shop.place({ items, key, bearer: system.shop.tokens.otherCustomer });
    assert.equal(stranger.status, 201);
    assert.notEqual(idOf(stranger), idOf(first));
    await ended(idOf(stranger));
  });

  it('gives the same answers after Temporal has lost everything, a refusal too although stock came back', async () => {
    const paid = { items: [{ ...MUG, quantity: 1 }], key: randomUUID() };
    const short = { items: [{ ...COASTER, quantity: 5 }], key: randomUUID() };
    const first = await system.shop.place(paid);
    await ended(idOf(first));
    await leave(COASTER, 4);
    const refusal = await system.shop.place(short);
    assert.deepEqual([refusal.status, refusal.body['code']], [409, 'OUT_OF_STOCK']);
    await leave(COASTER, 10_000);

    await system.crashTemporal({ loseData: true });
    const again = await system.shop.place(paid);
    assert.deepEqual([again.status, again.body], [201, first.body]);
    const refusedAgain = await system.shop.place(short);
    assert.deepEqual([refusedAgain.status, refusedAgain.body], [409, refusal.body]);
    const changed = await system.shop.place({ ...paid, items: [{ ...MUG, quantity: 2 }] });
    assert.deepEqual([changed.status, changed.body['code']], [422, 'IDEMPOTENCY_KEY_REUSED']);
    await eventually('the workers serve the new Temporal', async () => {
      const { status } = await system.shop.place({ items: [{ ...MUG, quantity: 1 }] });
      return status === 201 ? status : undefined;
    });
    assert.deepEqual(await leakedStockOnceQuiet(), []);
    assert.deepEqual(await abandonedReservations(system), []);
  });

  /** The last order may still be paying: its stock is reserved, not leaked, so only differences count. */
  const leakedStockOnceQuiet = () =>
    eventually('nothing is leaked', async () => {
      const leaks = await leakedStock(system);
      return leaks.length === 0 ? leaks : undefined;
    });
});
