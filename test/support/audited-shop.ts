import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';

import { inventoryActivities } from '../../activities/inventory/activities.ts';
import { inventoryReturnActivities } from '../../activities/inventory/return-activities.ts';
import { orderActivities } from '../../activities/orders/activities.ts';
import { orderMoneyActivities } from '../../activities/orders/money-activities.ts';
import { paymentActivities } from '../../activities/payments/activities.ts';
import { refundActivities } from '../../activities/payments/refund-activities.ts';
import type { CheckoutInput, SagaEnd } from '../../domain/checkout.ts';
import type { Refusal } from '../../domain/errors.ts';
import type { Money } from '../../domain/money.ts';
import type { BegunRefund, RefundLine } from '../../domain/refund.ts';
import type { EventBus } from '../../events/bus/bus.ts';
import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import { startRelay } from '../../events/relay.ts';
import { audit, type Audited, type AuditOptions } from '../../infra/audit/audit.ts';
import { temporalWorkflows, type Workflows } from '../../infra/audit/workflows.ts';
import type { DatabaseName } from '../../infra/config.ts';
import { openOrder, openPayment, openPlatform } from '../../infra/databases.ts';
import { simulatedGateway } from '../../infra/payment-gateway/simulated.ts';
import { simulatedLedger } from '../../infra/payment-gateway/simulated-ledger.ts';
import { listenInProcess } from '../gateway/running-gateway.ts';
import { refused } from './activity-refusal.ts';
import { WITHOUT_RELAYS } from './commands.ts';
import { freshDatabases, query, type TestDatabases } from './databases.ts';
import { unpublished } from './events.ts';
import { eventually } from './eventually.ts';
import { GENEROUS, HOLD_MS } from './inventory.ts';
import { temporalServer } from './servers.ts';
import { adjustBy, type Cart, checkoutInput, type Item, sha256 } from './shop.ts';

/** A customer and an item of the seed. */
export const CUSTOMER = '1';
export const MUG: Item = { productId: '101', variantId: '1011', locationCode: 'MAIN' };
export const SIMPLE: Item = { productId: '102', variantId: null, locationCode: 'MAIN' };

const CANCEL: SagaEnd = { status: 'CANCELLED', refusal: { code: 'CHECKOUT_CANCELLED', message: 'cancelled' } };
const DECLINED: SagaEnd = { status: 'REJECTED', refusal: { code: 'PAYMENT_DECLINED', message: 'declined' } };
const GATEWAY_LIMIT_MS = 2_000;

/** Without an amount the lines say it; without both it is everything that is left. */
export type AskedRefund = Readonly<{ amount?: Money; lines?: readonly RefundLine[] }>;

export type AuditedShop = Awaited<ReturnType<typeof openAuditedShop>>;

/**
 * A seeded shop whose steps a test calls by itself, in the order of the saga, and the audit of all that they leave.
 *
 * @param given seeded databases to use instead of fresh ones; dropped in the end all the same
 */
export async function openAuditedShop(given?: TestDatabases) {
  const databases = given ?? (await freshDatabases({ seed: true }));
  const { urls, adminUrl } = databases;
  const platform = openPlatform(urls.platform, { poolSize: 10 });
  const order = openOrder(urls.order, { poolSize: 5 });
  const payment = openPayment(urls.payment, { poolSize: 5 });
  const gateway = await listenInProcess(urls.gateway);
  const { address } = await temporalServer();
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });

  const inventory = inventoryActivities({ platform, limits: GENEROUS, holdMs: HOLD_MS });
  const orders = orderActivities({ order });
  const never = new AbortController().signal;
  const paymentDeps = {
    ...{ payment, signal: () => never, holdMs: { card: 60_000, bank_transfer: 60_000 } },
    gateway: simulatedGateway({ url: gateway.url, timeoutMs: GATEWAY_LIMIT_MS, maxProcessingMs: 1_000 }),
  };
  const payments = paymentActivities(paymentDeps);
  const refunds = refundActivities(paymentDeps);
  const [orderMoney, returns] = [orderMoneyActivities({ order }), inventoryReturnActivities({ platform })];

  const keyOf = ({ orderId, customerId, requestHash }: CheckoutInput) => ({ orderId, customerId, requestHash });
  /** What was given back is in the order's history. */
  const settle = async (orderId: string): Promise<void> => {
    const settled = await payments.settleWithGateway({ orderId });
    if (settled.outcome === 'LOOK_AGAIN') throw new Error('a charge of this order is still in flight');
    if (settled.outcome === 'REFUNDED') await orderMoney.recordSettlement({ orderId, ...settled });
  };
  const steps = {
    /** Stock RESERVED and the order PENDING. */
    async place(
      cart: readonly Cart[] = [
        { item: MUG, quantity: 2 },
        { item: SIMPLE, quantity: 1 },
      ],
      token = 'tok_ok',
    ) {
      const input = checkoutInput(CUSTOMER, cart, { payment: { method: 'card', token } });
      const reservation = await inventory.reserveStock(input);
      const { total } = await orders.createOrder({ ...keyOf(input), reservation });
      return { ...input, total };
    },
    capture: (input: CheckoutInput & Readonly<{ total: Money }>) =>
      payments.capturePayment({ ...input, amount: input.total, ...input.payment }),
    async finish(input: CheckoutInput, paymentId: string) {
      await orders.markOrderPaid({ orderId: input.orderId, paymentId });
      await inventory.commitStock(keyOf(input));
    },
    async undo(input: CheckoutInput, end: SagaEnd, unplaced: Refusal | null = null) {
      const { orderId } = input;
      await payments.abandonPayment({ orderId });
      await inventory.releaseStock({ ...keyOf(input), unplaced });
      await orders.closeOrder({ orderId, end });
      await settle(orderId);
    },
  };

  const workflows = temporalWorkflows(client, address);
  const ledger = simulatedLedger({ url: gateway.url, timeoutMs: GATEWAY_LIMIT_MS });
  const shop = {
    ...{
      urls,
      adminUrl,
      platform,
      inventory,
      orders,
      payments,
      refunds,
      steps,
      workflows,
      gatewayUrl: gateway.url,
      address,
    },

    async paid(cart?: readonly Cart[]): Promise<CheckoutInput & Readonly<{ paymentId: string }>> {
      const input = await steps.place(cart);
      const { paymentId } = await steps.capture(input);
      await steps.finish(input, paymentId);
      return { ...input, paymentId };
    },
    async declined(): Promise<CheckoutInput> {
      const input = await steps.place(undefined, 'tok_declined');
      await refused(steps.capture(input));
      await steps.undo(input, DECLINED);
      return input;
    },
    /** Captured, and given back because somebody cancelled. */
    async cancelled(): Promise<CheckoutInput> {
      const input = await steps.place();
      await steps.capture(input);
      await steps.undo(input, CANCEL);
      return input;
    },
    /** Another amount than was asked for was taken, and given back. */
    async mismatched(): Promise<CheckoutInput> {
      const input = await steps.place(undefined, 'tok_wrong_amount');
      await refused(steps.capture(input));
      await payments.abandonPayment({ orderId: input.orderId });
      await inventory.releaseStock({ ...keyOf(input), unplaced: null });
      await orders.closeOrder({ orderId: input.orderId, end: DECLINED });
      await settle(input.orderId);
      return input;
    },
    async outOfStock(): Promise<CheckoutInput> {
      const input = checkoutInput(CUSTOMER, [{ item: MUG, quantity: 1_000_000 }]);
      await refused(inventory.reserveStock(input));
      return input;
    },
    /** Given up before the order was made: marks everywhere, an order nowhere. */
    async abandoned(): Promise<CheckoutInput> {
      const input = checkoutInput(CUSTOMER, [{ item: MUG, quantity: 1 }]);
      await inventory.reserveStock(input);
      await steps.undo(input, CANCEL, CANCEL.refusal);
      return input;
    },

    /** A refund on record that nobody has asked the gateway for. */
    async begun({ orderId }: CheckoutInput, asked: AskedRefund): Promise<BegunRefund> {
      const { amount = null, lines = [] } = asked;
      const request = { amount, lines, reason: 'RETURNED', by: 'operator', requestHash: sha256(JSON.stringify(asked)) };
      const priced = await orderMoney.readRefundable({ orderId, lines });
      return refunds.beginRefund({ refundId: randomUUID(), orderId, request, lines: priced });
    },
    /** A refund to its end. */
    async refunded(input: CheckoutInput, asked: AskedRefund): Promise<BegunRefund> {
      const refund = await shop.begun(input, asked);
      const { refundId, orderId, amount, reason, lines } = refund;
      await refunds.finishRefund({ refundId, ...(await refunds.refundAtGateway({ refundId })) });
      await orderMoney.recordRefund({ orderId, refundId, amount, reason, by: 'operator' });
      await returns.restock({ refundId, orderId, lines: lines.filter(({ restock }) => restock) });
      return refund;
    },
    /** A refund that the gateway refused for good, to its end. */
    async refundFailed(input: CheckoutInput, asked: AskedRefund): Promise<BegunRefund> {
      const refund = await shop.begun(input, asked);
      const { refundId, orderId, amount, reason, by } = refund;
      const failureCode = 'refund_refused';
      await orderMoney.recordRefundFailure({ orderId, refundId, amount, reason, by, failureCode });
      await refunds.finishRefund({ refundId, status: 'FAILED', failureCode });
      return refund;
    },

    /** A workflow of that id that runs until it is ended: no worker serves it. */
    async openWorkflow(workflowId: string): Promise<() => Promise<unknown>> {
      const handle = await client.workflow.start('checkout', { workflowId, taskQueue: 'nobody-listens', args: [] });
      return () => handle.terminate();
    },

    /** One statement as the superuser, past every trigger and grant. */
    async damage(database: DatabaseName, text: string, values: unknown[] = []): Promise<void> {
      const quoted = values.reduce<string>(
        (sql, value, index) => sql.replaceAll(`$${index + 1}`, `'${String(value)}'`),
        text,
      );
      // Several statements go in one message only without parameters.
      await query(adminUrl(database), `set session_replication_role = replica; ${quoted}`);
    },
    ask: (database: DatabaseName, text: string, values: unknown[] = []) => query(adminUrl(database), text, values),

    /** Without the invariants about the bus and the views, unless they are asked for: relays run only in `drain`. */
    audit: (options: AuditOptions = {}, asked: Readonly<{ workflows?: Workflows }> = { workflows }): Promise<Audited> =>
      audit(
        { urls, ledger, timeZone: 'Asia/Seoul', workflows: asked.workflows },
        { only: WITHOUT_RELAYS, recheckAfterMs: 50, ...options },
      ),

    /** Publishes all that the outboxes hold, to the log or to a bus of the test's own. */
    async drain(own?: EventBus): Promise<void> {
      const log = pino({ level: 'silent' });
      const bus = own ?? openEmbeddedBus({ url: urls.bus, poolSize: 2, log });
      const outboxes = { platform, order, payment };
      const relays = Object.entries(outboxes).map(([service, db]) =>
        startRelay({ db, bus, service, instance: 'test', log }),
      );
      try {
        await eventually('the outboxes are drained', async () => {
          const waiting = await Promise.all(Object.values(outboxes).map(unpublished));
          return waiting.every((count) => count === 0) ? true : undefined;
        });
      } finally {
        await Promise.all(relays.map((relay) => relay.stop()));
        if (own === undefined) await bus.close();
      }
    },

    addStock: (item: Item, units: number) => adjustBy(platform, item, units),

    /** Rows of seeded stock that no cart of these tests takes from. */
    untouched: (count: number) =>
      query<{ id: string; name: string }>(
        adminUrl('platform'),
        `select id::text, product_id || '-' || coalesce(variant_id, 0) || '-' || location_code as name
         from inventory_snapshots where product_id > 105 and version = 1 and available_quantity > 20
         order by random() limit $1`,
        [count],
      ),

    /** One of each way that a checkout can end. */
    async oneOfEach(): Promise<void> {
      await shop.paid();
      await shop.declined();
      await shop.cancelled();
      await shop.mismatched();
      await shop.outOfStock();
      await shop.abandoned();
      assert.deepEqual(brokenIn(await shop.audit()), []);
    },

    async close(): Promise<void> {
      await connection.close();
      await gateway.close();
      await Promise.all([platform.$disconnect(), order.$disconnect(), payment.$disconnect()]);
      await databases.drop();
    },
  };
  return shop;
}

/** Broken rows in short: the number of the invariant and the row. */
export const brokenIn = ({ findings }: Audited): string[] =>
  findings.map(({ invariant, row }) => `${invariant} ${row}`).sort();
