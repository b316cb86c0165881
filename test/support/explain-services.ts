import { randomUUID } from 'node:crypto';

import { adjustStock } from '../../activities/inventory/administration.ts';
import { eraseCustomer } from '../../activities/inventory/erase.ts';
import { productAdministration } from '../../activities/inventory/products.ts';
import { readStock } from '../../activities/inventory/read-stock.ts';
import { readStockStory } from '../../activities/inventory/read-story.ts';
import { inventoryReturnActivities } from '../../activities/inventory/return-activities.ts';
import { storedAnswer } from '../../activities/inventory/stored-answer.ts';
import { userAdministration } from '../../activities/inventory/users.ts';
import { orderActivities } from '../../activities/orders/activities.ts';
import { orderMoneyActivities } from '../../activities/orders/money-activities.ts';
import { declinedTooOften, readOrder } from '../../activities/orders/read.ts';
import { readStateChanges } from '../../activities/orders/read-changes.ts';
import { paymentFinders } from '../../activities/payments/find.ts';
import { readPaymentStory } from '../../activities/payments/read-story.ts';
import { failSettlement } from '../../activities/payments/settlement-tables.ts';
import { storedRefund } from '../../activities/payments/stored-refund.ts';
import { awaitShopper, doubtEarlierAttempt } from '../../activities/payments/tables.ts';
import { webhookActivities } from '../../activities/payments/webhook-activities.ts';
import * as webhooks from '../../activities/payments/webhook-store.ts';
import { paymentIdFor } from '../../events/ids.ts';
import { readAggregateEvents } from '../../events/read-aggregate.ts';
import { type Databases, openOrder, openPayment, openPlatform } from '../../infra/databases.ts';
import type { PaymentGateway } from '../../infra/payment-gateway/port.ts';
import { simulatedGateway } from '../../infra/payment-gateway/simulated.ts';
import { simulatedLedger } from '../../infra/payment-gateway/simulated-ledger.ts';
import { type AuditedShop, CUSTOMER } from './audited-shop.ts';
import type { TestDatabases } from './databases.ts';
import { generatedId } from './explain-data.ts';
import { type Cart, sha256 } from './shop.ts';

const TIMEOUT_MS = 5_000;
const DAY_MS = 24 * 3_600_000;
const STORY_ROWS = 500;

type Services = Pick<Databases, 'platform' | 'order' | 'payment'>;

/** Items of generated stock by their numbers; those of round ones are not for sale. */
const cartOf = (...numbers: readonly number[]): Cart[] =>
  numbers.map((n) => ({
    item: { productId: generatedId(n), variantId: generatedId(n), locationCode: 'MAIN' },
    quantity: 1,
  }));

/** Runs every step of the sagas, the finders of the reconciler and the administration, as workers and API do. */
export async function workServices(shop: AuditedShop, { urls }: Pick<TestDatabases, 'urls'>): Promise<void> {
  const services = {
    platform: openPlatform(urls.platform, { poolSize: 2 }),
    order: openOrder(urls.order, { poolSize: 2 }),
    payment: openPayment(urls.payment, { poolSize: 2 }),
  };
  const gateway = simulatedGateway({ url: shop.gatewayUrl, timeoutMs: TIMEOUT_MS, maxProcessingMs: TIMEOUT_MS });
  try {
    await sellAndRefund(shop, services);
    await waitForShoppers(shop, services, gateway);
    await findUnfinished(shop, services);
    await administrate(services);
  } finally {
    await Promise.all(Object.values(services).map((db) => db.$disconnect()));
  }
}

async function sellAndRefund(shop: AuditedShop, { platform, order, payment }: Services): Promise<void> {
  await shop.declined();
  await shop.cancelled();
  await shop.mismatched();
  await shop.abandoned();
  const sold = await shop.paid(cartOf(1_001, 2_001));
  await shop.refunded(sold, { lines: [{ lineNo: 1, quantity: 1, restock: true }] });
  const failed = await shop.refundFailed(sold, { lines: [{ lineNo: 2, quantity: 1, restock: false }] });
  await storedRefund(payment, failed.refundId);
  await storedAnswer(platform, sold.orderId);
  await readOrder(order, { orderId: sold.orderId, customerId: CUSTOMER });
  await readOrder(order, { orderId: sold.orderId, customerId: null });
  await declinedTooOften(order, { customerId: CUSTOMER, limit: 3 });
  await readStateChanges(order, [{ orderId: sold.orderId, seen: 1 }]);
  await readAggregateEvents(order, 'order', [{ id: sold.orderId }], STORY_ROWS);
  await readPaymentStory(payment, sold.orderId, STORY_ROWS);
  await readStockStory(platform, { orderId: sold.orderId, refundIds: [failed.refundId] }, STORY_ROWS);
  await inventoryReturnActivities({ platform }).readHeader(sold);
  const orders = orderActivities({ order });
  await orders.recordResolution({
    ...{ orderId: sold.orderId, resolutionId: randomUUID(), steps: ['commitStock'], action: 'MARK_DONE' },
    ...{ reason: 'counted', by: '7' },
  });
}

/** Payments that wait, are in doubt, or are told of by webhooks. */
async function waitForShoppers(
  shop: AuditedShop,
  { order, payment }: Services,
  gateway: PaymentGateway,
): Promise<void> {
  const money = orderMoneyActivities({ order });
  const waiting = await shop.steps.place(cartOf(3_001), 'tok_requires_confirmation');
  const state = await shop.payments.capturePayment({ ...waiting, amount: waiting.total });
  if (state.status !== 'AWAITING_CONFIRMATION') throw new Error('the card asked for no confirmation');
  await shop.payments.checkPayment(waiting);
  await money.awaitPayment({ ...state, orderId: waiting.orderId });
  await money.readOrderState(waiting);
  const paymentId = paymentIdFor(waiting.orderId);
  await payment.$transaction(async (tx) => {
    await awaitShopper(tx, paymentId, state.instructions, TIMEOUT_MS);
    await doubtEarlierAttempt(tx, paymentId);
    await failSettlement(tx, waiting.orderId, 'refund_refused');
  });

  const ref = { provider: 'simulated', eventId: `evt_${randomUUID()}` };
  const [row] = await shop.ask('payment', 'select provider_payment_id as id from payments where id = $1', [paymentId]);
  const told = { ...ref, type: 'charge.captured', providerPaymentId: String(row?.['id']), fields: {} };
  await webhooks.storeWebhook(payment, { ...told, bodyHash: sha256('body') });
  const never = new AbortController().signal;
  const activities = webhookActivities({ payment, gateway, signal: () => never });
  await activities.readWebhook(ref);
  await activities.applyWebhook(ref);
  await webhooks.decidedSince(payment, ref, waiting.orderId);
  await activities.closeWebhook({ ...ref, outcome: 'UNCHANGED' });
  await shop.steps.undo(waiting, { status: 'EXPIRED', refusal: { code: 'HOLD_EXPIRED', message: 'too late' } });
}

/** The reconciler's questions, from the beginning and from a position in the middle. */
async function findUnfinished(shop: AuditedShop, { platform, order, payment }: Services): Promise<void> {
  // Something of each list, so that there is a second page.
  const sold = await shop.paid(cartOf(4_001, 5_001));
  for (const n of [6_001, 7_001, 8_001]) {
    await shop.steps.place(cartOf(n));
    await shop.begun(sold, { amount: { minor: 1, currency: 'KRW' } });
  }
  const finders = paymentFinders({
    ...{ payment, signal: () => new AbortController().signal, beat: () => undefined },
    ledger: simulatedLedger({ url: shop.gatewayUrl, timeoutMs: TIMEOUT_MS }),
  });
  const returns = inventoryReturnActivities({ platform });
  const money = orderMoneyActivities({ order });
  await allPages((page) => finders.findOpenPayments(page));
  await allPages((page) => finders.findPendingRefunds(page));
  await allPages((page) => finders.findOpenWebhooks(page));
  await allPages((page) => returns.findReservedOrders(page));
  await allPages((page) => money.findPendingOrders(page));
  await allPages((page) => finders.findLedgerDifferences({ ...page, sinceMs: 2 * DAY_MS, limit: 1_000 }));
  const moved: { orderId: string; paymentId: string; settled: boolean }[] = [];
  await allPages(async (page) => {
    const found = await finders.findMovedPayments({ ...page, sinceMs: 2 * DAY_MS, limit: 100 });
    moved.push(...found.items);
    return found;
  });
  await money.findUnfinishedAmong({ payments: moved });
}

type Paged = (page: Readonly<{ after: string | null; limit: number }>) => Promise<Readonly<{ next: string | null }>>;

async function allPages(read: Paged): Promise<void> {
  for (let after: string | null = null; ;) {
    ({ next: after } = await read({ after, limit: 2 }));
    if (after === null) return;
  }
}

async function administrate({ platform }: Pick<Services, 'platform'>): Promise<void> {
  const users = userAdministration({ platform });
  const name = randomUUID();
  const person = { username: name, email: `${name}@shop.test`, fullName: 'A Customer', status: 'ACTIVE' } as const;
  const request = { id: randomUUID(), requestHash: sha256(name), caller: '1' };
  await users.create(request, person);
  const { userId: newcomer } = await users.create(request, person);
  const expected = null;
  const change = { expected, correlationId: randomUUID(), caller: '1', requestHash: sha256('change') };
  await users.change({ ...change, userId: '2', changes: { fullName: 'Another Name' } });
  // Generated users have no first event, and the relay would wait for it before it tells of their erasure.
  for (const userId of ['3', '3', newcomer]) {
    await eraseCustomer(platform, { userId, correlationId: randomUUID() });
  }

  const products = productAdministration({ platform });
  const won = (minor: number) => ({ minor, currency: 'KRW' });
  const variant = { sku: `v-${name}`, name: 'Blue', options: {}, price: null };
  const stock = [{ locationCode: 'MAIN', quantity: 5, lowStockThreshold: 1 }];
  const product = {
    ...{ sku: name, name: 'Thing', slug: name, description: '', brand: null, category: 'category-7' },
    ...{ status: 'ACTIVE' as const, basePrice: won(1_000), salePrice: null, primaryImageUrl: null },
    ...{ variants: [{ ...variant, stock }], stock: [] },
  };
  const made = { ...request, id: randomUUID() };
  await products.create(made, product);
  await products.create(made, product);
  const more = { ...variant, sku: `w-${name}`, stock };
  const variants = [{ variantId: '1011', name: `Kind ${name}` }, more];
  await products.change({ ...change, productId: '101', changes: { category: 'category-8', variants } });

  const item = { productId: generatedId(11_000), variantId: generatedId(11_000), locationCode: 'MAIN' };
  await readStock(platform, { productId: item.productId, before: null, limit: 101 });
  await adjustStock(platform, {
    ...{ ...item, quantityChange: 1, reason: 'COUNTED', caller: '1', idempotencyKey: name },
    requestHash: sha256('counted'),
  });
}
