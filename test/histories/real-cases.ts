import { randomUUID } from 'node:crypto';

import type { WorkflowHandle } from '@temporalio/client';
import type { Workflow } from '@temporalio/common';
import proto from '@temporalio/proto';

import { storeWebhook } from '../../activities/payments/webhook-store.ts';
import { place, PLACED_DEADLINE_MS } from '../../api/place.ts';
import type { CartLine, CheckoutInput, PaymentChoice } from '../../domain/checkout.ts';
import { checkoutWorkflowId, webhookWorkflowId } from '../../domain/workflow-ids.ts';
import { orderIdFor, paymentIdFor } from '../../events/ids.ts';
import { products, stock } from '../../prisma/seed/catalogue.ts';
import type { checkout } from '../../workflows/checkout.ts';
import { cancelUpdate, resolveUpdate, statusQuery } from '../../workflows/contract.ts';
import { eventually } from '../support/eventually.ts';
import type { RunningSaga } from '../support/running-saga.ts';
import { sha256 } from '../support/shop.ts';

export type Played = WorkflowHandle<Workflow>;
type Checkout = WorkflowHandle<typeof checkout>;
type RealCase = Readonly<{
  lines: () => CartLine[];
  payment: PaymentChoice;
  /** Code of the result, or its status where it has none. */
  ends: string;
  /** What somebody does while it runs. @returns the workflow whose history it is about, if not the checkout's */
  meanwhile?: (handle: Checkout, saga: RunningSaga, orderId: string) => Promise<Played | void>;
}>;

const START_DEADLINE_MS = 120_000;
const PROVIDER = 'simulated';
const COASTERS: CartLine = { lineNo: 1, productId: '102', variantId: null, quantity: 2, locationCode: 'MAIN' };
const card = (token: string): PaymentChoice => ({ method: 'card', token });

/** Checkouts through the real steps, their databases and the simulated gateway. */
export const REAL_CASES = {
  paid: { lines: () => [COASTERS], payment: card('tok_ok'), ends: 'COMPLETED' },
  'card-declined': { lines: () => [COASTERS], payment: card('tok_declined'), ends: 'PAYMENT_DECLINED' },
  'out-of-stock': { lines: () => [COASTERS, soldOut()], payment: card('tok_ok'), ends: 'OUT_OF_STOCK' },
  cancelled: {
    lines: () => [COASTERS],
    payment: card('tok_slow'),
    ends: 'CHECKOUT_CANCELLED',
    meanwhile: cancelWhilePaying,
  },
  'parked-mark-done': {
    lines: () => [COASTERS],
    payment: card('tok_wrong_amount'),
    ends: 'PAYMENT_AMOUNT_MISMATCH',
    meanwhile: markDone,
  },
  awaited: {
    lines: () => [COASTERS],
    payment: { method: 'bank_transfer' },
    ends: 'COMPLETED',
    meanwhile: async (handle, saga, orderId) => void (await transfer(handle, saga, orderId)),
  },
  expired: { lines: () => [COASTERS], payment: { method: 'bank_transfer', holdSeconds: 1 }, ends: 'HOLD_EXPIRED' },
  /** The other side of an awaited payment: what told it. */
  'webhook-applied': {
    lines: () => [COASTERS],
    payment: { method: 'bank_transfer' },
    ends: 'APPLIED',
    meanwhile: transfer,
  },
} as const satisfies Readonly<Record<string, RealCase>>;
export type RealCaseName = keyof typeof REAL_CASES;

/** Places the order of a case as the API does, and what happens meanwhile. @returns the workflow, which ends by itself */
export async function playReal(name: RealCaseName, saga: RunningSaga): Promise<Played> {
  const { lines, payment, meanwhile }: RealCase = REAL_CASES[name];
  const orderId = orderIdFor('/v1/checkouts', '1', `history of ${name}`);
  const input: CheckoutInput = {
    orderId,
    customerId: '1',
    requestHash: sha256(name),
    lines: lines(),
    payment,
    expectedTotal: null,
    startDeadline: new Date(Date.now() + START_DEADLINE_MS).toISOString(),
  };
  await place(saga.temporal, input, PLACED_DEADLINE_MS);
  const handle: Checkout = saga.temporal.client.workflow.getHandle<typeof checkout>(checkoutWorkflowId(orderId));
  return (await meanwhile?.(handle, saga, orderId)) ?? handle;
}

/** The shopper pays, and the provider says that something changed. @returns the workflow of what it said */
async function transfer(
  handle: Checkout,
  { temporal, gatewayUrl, payment }: RunningSaga,
  orderId: string,
): Promise<Played> {
  await eventually('the payment is waited for', async () => {
    const { status } = await handle.query(statusQuery);
    return status === 'AWAITING_PAYMENT' ? status : undefined;
  });
  const { providerPaymentId } = await payment.payment.findUniqueOrThrow({ where: { id: paymentIdFor(orderId) } });
  if (providerPaymentId === null) throw new Error('a payment that is waited for has no charge');
  const headers = { 'content-type': 'application/json' };
  const paid = await fetch(`${gatewayUrl}/charges/${providerPaymentId}/transfer`, {
    method: 'POST',
    headers,
    body: '{}',
  });
  if (!paid.ok) throw new Error(`the transfer was answered ${paid.status}: ${await paid.text()}`);

  const eventId = `evt_${randomUUID()}`;
  const event = { provider: PROVIDER, eventId, type: 'charge.captured', providerPaymentId, fields: {} };
  await storeWebhook(payment, { ...event, bodyHash: sha256(eventId) });
  const told = temporal.client.workflow.getHandle(webhookWorkflowId(PROVIDER, eventId));
  await eventually('the event is worked on', () => told.describe().catch(() => undefined));
  await handle.result();
  return told;
}

/** The charge must be on its way: a step that no worker has taken yet is cancelled without a trace of it. */
async function cancelWhilePaying(handle: Checkout): Promise<void> {
  const { PENDING_ACTIVITY_STATE_STARTED: started } = proto.temporal.api.enums.v1.PendingActivityState;
  await eventually('the charge is on its way', async () => {
    const { raw } = await handle.describe();
    return raw.pendingActivities?.find(
      ({ activityType, state }) => activityType?.name === 'capturePayment' && state === started,
    );
  });
  await handle.executeUpdate(cancelUpdate);
}

async function markDone(handle: Checkout): Promise<void> {
  await eventually('settleWithGateway is parked', async () => {
    const { parked } = await handle.query(statusQuery);
    return parked.find(({ step }) => step === 'settleWithGateway');
  });
  const decision = { action: 'markDone', reason: 'charge and refund net to zero', by: 'operator-7' } as const;
  await handle.executeUpdate(resolveUpdate, { args: [decision] });
}

/** A line that asks for one more than the seed has. */
function soldOut(): CartLine {
  const onSale = products().filter(({ status, currency }) => status === 'ACTIVE' && currency === 'KRW');
  const scarce = stock(onSale).find(({ available, variantId }) => variantId === null && available < 100);
  if (scarce === undefined) throw new Error('everything in the seed is plentiful');
  const { productId, available, locationCode } = scarce;
  return { lineNo: 2, productId: String(productId), variantId: null, quantity: available + 1, locationCode };
}
