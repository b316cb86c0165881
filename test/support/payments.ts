import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { type PaymentActivities, paymentActivities } from '../../activities/payments/activities.ts';
import type { CaptureInput, PaymentFinders, Settled, WebhookActivities } from '../../activities/payments/contract.ts';
import { paymentFinders } from '../../activities/payments/find.ts';
import { webhookActivities } from '../../activities/payments/webhook-activities.ts';
import { paymentIdFor } from '../../events/ids.ts';
import type { GatewaySettings } from '../../gateway/charge-routes.ts';
import { type Databases, openPayment } from '../../infra/databases.ts';
import type { PaymentGateway } from '../../infra/payment-gateway/port.ts';
import { simulatedGateway } from '../../infra/payment-gateway/simulated.ts';
import { simulatedLedger } from '../../infra/payment-gateway/simulated-ledger.ts';
import type { ProviderEvent } from '../../infra/payment-gateway/webhook.ts';
import { call, callsOf, listenInProcess } from '../gateway/running-gateway.ts';
import { freshDatabases, query, type TestDatabases } from './databases.ts';
import { checkoutInput } from './shop.ts';

/** Of one call to the gateway, milliseconds: short, so that a test of a time-out is short. */
const TIMEOUT_MS = 1_000;

export type PaymentService = Readonly<{
  payment: Databases['payment'];
  activities: PaymentActivities;
  webhooks: WebhookActivities;
  finders: PaymentFinders;
  gateway: PaymentGateway;
  databases: TestDatabases;
  adminUrl: string;
  gatewayUrl: string;
  /** Scripts a fault of the gateway. */
  script: (fault: Record<string, unknown>) => Promise<void>;
  untilHeld: () => Promise<void>;
  /** Ends every script and lets every held answer go. */
  letGo: () => Promise<void>;
  close: () => Promise<void>;
}>;

/** The steps of the payment service, and the gateway on a free port, each on a database of their own. */
export async function openPayments(settings: Partial<GatewaySettings> = {}): Promise<PaymentService> {
  const databases = await freshDatabases();
  const payment = openPayment(databases.urls.payment, { poolSize: 15 });
  const gateway = await listenInProcess(databases.urls.gateway, { hangMs: 3 * TIMEOUT_MS, ...settings });
  const calls = callsOf(gateway.url);
  const port = gatewayAt(gateway.url);
  const signal = () => new AbortController().signal;
  return {
    ...{ payment, databases, gatewayUrl: gateway.url, gateway: port },
    script: (fault) => calls.script(fault),
    untilHeld: () => calls.untilHeld(),
    activities: activitiesWith(payment, port),
    webhooks: webhookActivities({ payment, gateway: port, signal }),
    finders: paymentFinders({
      ...{ payment, signal, beat: () => undefined },
      ledger: simulatedLedger({ url: gateway.url, timeoutMs: TIMEOUT_MS }),
    }),
    adminUrl: databases.adminUrl('payment'),
    letGo: async () => {
      await call(gateway.url, 'DELETE', '/faults');
    },
    close: async () => {
      await gateway.close();
      await payment.$disconnect();
      await databases.drop();
    },
  };
}

/** The client of a gateway, with short limits. */
export const gatewayAt = (url: string): PaymentGateway =>
  simulatedGateway({ url, timeoutMs: TIMEOUT_MS, maxProcessingMs: MAX_PROCESSING_MS });

/** The steps with any gateway. */
export const activitiesWith = (
  payment: Databases['payment'],
  gateway: PaymentGateway,
  signal: AbortSignal = new AbortController().signal,
): PaymentActivities =>
  paymentActivities({
    ...{ payment, gateway },
    holdMs: { card: CARD_HOLD_MS, bank_transfer: TRANSFER_HOLD_MS },
    signal: () => signal,
  });

/** The steps with a gateway that may also be somewhere else. */
export const activitiesOn = (payment: Databases['payment'], url: string, signal?: AbortSignal): PaymentActivities =>
  activitiesWith(payment, gatewayAt(url), signal);

const MAX_PROCESSING_MS = 1_000;
export const CARD_HOLD_MS = 60_000;
export const TRANSFER_HOLD_MS = 120_000;

/** A capture of ₩39,000 for an order of its own. */
export function captureInput(token = 'tok_ok'): CaptureInput {
  const { orderId, customerId } = checkoutInput('42', []);
  return { orderId, customerId, amount: { minor: 39_000, currency: 'KRW' }, payment: { method: 'card', token } };
}

/** A transfer of ₩39,000 for an order of its own. */
export function transferInput(holdSeconds?: number): CaptureInput {
  const method = 'bank_transfer' as const;
  return { ...captureInput(), payment: holdSeconds === undefined ? { method } : { method, holdSeconds } };
}

/** Settles as the workflow does: looks again after the time that it is told. */
export async function settleFully({ activities }: Pick<PaymentService, 'activities'>, orderId: string) {
  for (;;) {
    const settled: Settled = await activities.settleWithGateway({ orderId });
    if (settled.outcome !== 'LOOK_AGAIN') return settled;
    await sleep(settled.afterMs);
  }
}

/** What a settlement answers that gave back all that was taken. */
export const refundedInFull = (orderId: string, minor = 39_000, currency = 'KRW'): Settled => ({
  ...{ outcome: 'REFUNDED', paymentId: paymentIdFor(orderId), amount: { minor, currency } },
});

/** The provider's id of an order's payment. */
export async function providerIdOf({ adminUrl }: PaymentService, orderId: string): Promise<string> {
  const sql = 'select provider_payment_id as id from payments where id = $1';
  const [row] = await query<{ id: string }>(adminUrl, sql, [paymentIdFor(orderId)]);
  assert.ok(row !== undefined);
  return row.id;
}

/** What the shopper, its bank or the provider does to the charge of an order. @returns the gateway's HTTP status */
export async function act(
  shop: PaymentService,
  orderId: string,
  action: 'transfer' | 'authorize' | 'expire',
  body: unknown = {},
): Promise<number> {
  const path = `/charges/${await providerIdOf(shop, orderId)}/${action}`;
  return (await call(shop.gatewayUrl, 'POST', path, { body })).status;
}

/** An event of the provider about the charge of an order, as the inlet hands it on. */
export async function eventAbout(
  shop: PaymentService,
  orderId: string,
  type = 'charge.captured',
): Promise<ProviderEvent> {
  return {
    ...{ provider: 'simulated', eventId: `evt_${randomUUID()}`, type, fields: { status: type } },
    ...{ providerPaymentId: await providerIdOf(shop, orderId), bodyHash: 'a'.repeat(64) },
  };
}

/** What the gateway's books say happened to the money of an order, oldest first. */
export async function moneyOf(
  { databases }: PaymentService,
  orderId: string,
): Promise<{ type: string; minor: number; currency: string; key: string | null }[]> {
  return query(
    databases.adminUrl('gateway'),
    `select type, amount::integer as minor, currency, refund_key as key from ledger_entries
     where order_id = $1 order by id`,
    [orderId],
  );
}

/** What the gateway says about an order's charges: one status for each. */
export async function chargesOf({ databases }: PaymentService, orderId: string): Promise<string[]> {
  const rows = await query<{ status: string }>(
    databases.adminUrl('gateway'),
    'select status from charges where order_id = $1 order by created_at, id',
    [orderId],
  );
  return rows.map(({ status }) => status);
}

/** What the payment service has on record, in short; undefined where no payment was ever opened. */
export async function paymentOf({ adminUrl }: PaymentService, orderId: string) {
  const [row] = await query<Record<string, unknown>>(
    adminUrl,
    `select status, version::integer as version, captured_amount::integer as captured, captured_currency as currency,
       refunded_amount::integer as refunded, failure_code as failure
     from payments where id = $1`,
    [paymentIdFor(orderId)],
  );
  return row;
}

/** The one decision of the payment service about an order; null while there is none. */
export async function decisionOf({ adminUrl }: PaymentService, orderId: string): Promise<string | null> {
  const rows = await query<{ decision: string | null }>(
    adminUrl,
    'select decision from payment_marks where order_id = $1',
    [orderId],
  );
  assert.ok(rows.length <= 1);
  return rows[0]?.decision ?? null;
}
