import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { eventually } from '../support/eventually.ts';
import { factsOf, leakedStock, outboxOf, stockOf } from '../support/saga-facts.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const MUG = { productId: '101', variantId: '1011' };
const SIMPLE = { productId: '102' };

describe('a checkout through the whole system', function () {
  this.timeout(120_000);
  let system: TestSystem;

  before(async () => {
    system = await startSystem();
    await system.startWorkers();
  });
  after(() => system.stop());

  const idOf = (body: Readonly<Record<string, unknown>>): string => String(body['orderId']);
  const statusBecomes = (orderId: string, status: string) =>
    eventually(`order ${orderId} is ${status}`, async () => {
      const { body } = await system.shop.order(orderId);
      return body['status'] === status ? body : undefined;
    });
  const ended = (orderId: string) => system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();

  it('takes two lines from RESERVED over PENDING, CAPTURED and PAID to COMMITTED, every row and event right', async () => {
    const before = [await stockOf(system, '101', '1011'), await stockOf(system, '102', null)] as const;
    // The gateway takes the money and keeps the answer back: the world in between can be looked at.
    await system.fault({ route: 'confirm', times: 1, kind: 'hold', ms: 8_000 });

    const placed = await system.shop.place({
      items: [
        { ...MUG, quantity: 2 },
        { ...SIMPLE, quantity: 1 },
      ],
    });
    assert.equal(placed.status, 201);
    const orderId = idOf(placed.body);
    assert.equal(placed.headers.get('location'), `/v1/orders/${orderId}`);
    assert.equal(placed.body['status'], 'PENDING');

    const held = await eventually('the gateway has charged', async () => {
      const facts = await factsOf(system, orderId);
      return facts.gateway.length > 0 ? facts : undefined;
    });
    assert.equal(held.header, 'RESERVED');
    assert.equal(held.order?.status, 'PENDING');
    assert.equal(held.payment?.status, 'PENDING');
    const reserved = [await stockOf(system, '101', '1011'), await stockOf(system, '102', null)] as const;
    assert.deepEqual(reserved, [
      {
        ...before[0],
        available: before[0].available - 2,
        reserved: before[0].reserved + 2,
        version: before[0].version + 1,
      },
      {
        ...before[1],
        available: before[1].available - 1,
        reserved: before[1].reserved + 1,
        version: before[1].version + 1,
      },
    ]);
    await system.clearFaults();

    const order = await statusBecomes(orderId, 'PAID');
    assert.deepEqual(await ended(orderId), { status: 'COMPLETED' });
    const facts = await factsOf(system, orderId);
    const total = (order['total'] as { minor: number }).minor;
    assert.deepEqual(facts, {
      header: 'COMMITTED',
      ledger: [
        ledgerRow('RESERVED', '101-1011-MAIN', before[0], -2, 2, 1),
        ledgerRow('RESERVED', '102-0-MAIN', before[1], -1, 1, 1),
        ledgerRow('COMMITTED', '101-1011-MAIN', { ...before[0], available: before[0].available - 2 }, 0, -2, 2),
        ledgerRow('COMMITTED', '102-0-MAIN', { ...before[1], available: before[1].available - 1 }, 0, -1, 2),
      ],
      order: { status: 'PAID', failure_code: null },
      history: [
        { status: 'PENDING', reason: null, version: 1 },
        { status: 'PAID', reason: null, version: 2 },
      ],
      payment: { status: 'CAPTURED', captured: total, refunded: 0 },
      gateway: [{ kind: 'CAPTURE', amount: total }],
    });
    assert.deepEqual(await outboxOf(system, orderId, 'order'), ['OrderCreated v1', 'OrderPaid v2']);
    assert.deepEqual(await outboxOf(system, orderId, 'payment'), ['PaymentPending v1', 'PaymentCompleted v2']);
    assert.deepEqual(
      (await outboxOf(system, orderId, 'platform')).map((event) => event.split(' ')[0]),
      ['InventoryReserved', 'InventoryReserved', 'InventoryCommitted', 'InventoryCommitted'],
    );
    assert.deepEqual(await stockOf(system, '101', '1011'), {
      ...before[0],
      available: before[0].available - 2,
      version: before[0].version + 2,
    });
    assert.deepEqual(await leakedStock(system), []);
  });

  it('leaves nothing behind of a declined card but the order with its reason', async () => {
    const before = await stockOf(system, '101', '1011');
    const placed = await system.shop.place({ items: [{ ...MUG, quantity: 3 }], token: 'tok_declined' });
    const orderId = idOf(placed.body);
    const order = await statusBecomes(orderId, 'FAILED');
    assert.equal((order['failure'] as { code: string }).code, 'PAYMENT_DECLINED');
    const result = (await ended(orderId)) as { status: string; code: string };
    assert.deepEqual([result.status, result.code], ['REJECTED', 'PAYMENT_DECLINED']);

    const facts = await factsOf(system, orderId);
    assert.equal(facts.header, 'RELEASED');
    assert.deepEqual(
      facts.ledger.map(({ type, change }) => [type, change]),
      [
        ['RESERVED', -3],
        ['RELEASED', 3],
      ],
    );
    assert.deepEqual(
      facts.history.map(({ status }) => status),
      ['PENDING', 'FAILED'],
    );
    assert.equal(facts.payment?.status, 'FAILED');
    assert.deepEqual(facts.gateway, []);
    assert.deepEqual(await stockOf(system, '101', '1011'), { ...before, version: before.version + 2 });
  });

  it('refuses a cart that is out of stock with 409 naming the lines, and holds none of the others', async () => {
    const before = await stockOf(system, '101', '1011');
    const [empty] = await system.query<{ product: string; variant: string | null }>(
      'platform',
      `select s.product_id::text as product, s.variant_id::text as variant from inventory_snapshots s
       join products p on p.id = s.product_id
       left join product_variants v on v.id = s.variant_id
       where s.available_quantity = 0 and s.location_code = 'MAIN' and p.status = 'ACTIVE' and p.currency = 'KRW'
         and coalesce(v.status, 'ACTIVE') = 'ACTIVE'
       order by s.id limit 1`,
    );
    assert.ok(empty);
    const scarce = {
      productId: empty.product,
      ...(empty.variant !== null && { variantId: empty.variant }),
      quantity: 1,
    };

    const { status, headers, body } = await system.shop.place({ items: [{ ...MUG, quantity: 1 }, scarce] });
    assert.equal(status, 409);
    assert.match(headers.get('content-type') ?? '', /^application\/problem\+json/);
    assert.equal(body['code'], 'OUT_OF_STOCK');
    assert.deepEqual(body['lines'], [{ lineNo: 2, productId: empty.product, asked: 1, available: 0 }]);

    assert.deepEqual(await stockOf(system, '101', '1011'), before);
    const orderId = String(body['instance']).split('/').pop() ?? '';
    const facts = await factsOf(system, orderId);
    assert.equal(facts.header, 'REFUSED');
    assert.equal(facts.order, undefined);
    assert.deepEqual(facts.ledger, []);
  });

  it('is found by its status with the temporal command, in fewer than 45 events without personal data', async () => {
    const placed = await system.shop.place({
      items: [
        { ...MUG, quantity: 1 },
        { ...SIMPLE, quantity: 2 },
      ],
    });
    const orderId = idOf(placed.body);
    await ended(orderId);

    const run = promisify(execFile);
    const args = [
      'workflow',
      'list',
      '--address',
      system.temporalAddress,
      '--output',
      'json',
      '--query',
      'CheckoutStatus="COMPLETED"',
    ];
    await eventually('the list has the checkout', async () => {
      const { stdout } = await run(system.cliPath, args);
      return stdout.includes(checkoutWorkflowId(orderId)) ? stdout : undefined;
    });

    const show = ['workflow', 'show', '--address', system.temporalAddress, '--output', 'json', '--workflow-id'];
    const { stdout: plain } = await run(system.cliPath, [...show, checkoutWorkflowId(orderId)]);
    const count = (JSON.parse(plain) as { events: unknown[] }).events.length;
    assert.ok(count > 0 && count < 45, `the history has ${count} events`);
    const decoded = plain.replaceAll(/"data":\s*"([A-Za-z0-9+/=]+)"/g, (_, data: string) =>
      Buffer.from(data, 'base64').toString(),
    );
    const [user] = await system.query<{ username: string; email: string; full_name: string }>(
      'platform',
      'select username, email, full_name from users where id = 1',
    );
    for (const personal of Object.values(user ?? {})) assert.ok(!decoded.includes(personal), `it holds ${personal}`);
    assert.doesNotMatch(decoded, /[\w.+-]+@[\w-]+\.[a-z]{2,}/i);
  });
});

function ledgerRow(
  type: string,
  aggregate: string,
  stock: Readonly<{ available: number; version: number }>,
  change: number,
  reserved: number,
  step: number,
) {
  const { available: before, version } = stock;
  return { type, aggregate, version: version + step, before, change, after: before + change, reserved };
}
