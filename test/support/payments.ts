import assert from 'node:assert/strict';

import { type PaymentActivities, paymentActivities } from '../../activities/payments/activities.ts';
import type { CaptureInput } from '../../activities/payments/contract.ts';
import { paymentIdFor } from '../../events/ids.ts';
import type { GatewaySettings } from '../../gateway/app.ts';
import { type Databases, openPayment } from '../../infra/databases.ts';
import { simulatedGateway } from '../../infra/payment-gateway/simulated.ts';
import { call, callsOf, listenInProcess } from '../gateway/running-gateway.ts';
import { freshDatabases, query, type TestDatabases } from './databases.ts';
import { checkoutInput } from './shop.ts';

/** Of one call to the gateway, milliseconds: short, so that a test of a time-out is short. */
const TIMEOUT_MS = 1_000;

export type PaymentService = Readonly<{
  payment: Databases['payment'];
  activities: PaymentActivities;
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
  return {
    ...{ payment, databases, gatewayUrl: gateway.url },
    script: (fault) => calls.script(fault),
    untilHeld: () => calls.untilHeld(),
    activities: activitiesOn(payment, gateway.url),
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

/** The steps with a gateway that may also be somewhere else. */
export const activitiesOn = (
  payment: Databases['payment'],
  url: string,
  signal: AbortSignal = new AbortController().signal,
): PaymentActivities =>
  paymentActivities({
    payment,
    gateway: simulatedGateway({ url, timeoutMs: TIMEOUT_MS, maxProcessingMs: MAX_PROCESSING_MS }),
    holdMs: { card: HOLD_MS, bank_transfer: HOLD_MS },
    signal: () => signal,
  });

const MAX_PROCESSING_MS = 1_000;
const HOLD_MS = 60_000;

/** A capture of ₩39,000 for an order of its own. */
export function captureInput(token = 'tok_ok'): CaptureInput {
  const { orderId, customerId } = checkoutInput('42', []);
  return { orderId, customerId, amount: { minor: 39_000, currency: 'KRW' }, payment: { method: 'card', token } };
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
