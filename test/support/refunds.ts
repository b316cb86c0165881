import { randomUUID } from 'node:crypto';

import type { BeginRefundInput, RefundActivities } from '../../activities/payments/contract.ts';
import { refundActivities } from '../../activities/payments/refund-activities.ts';
import type { GatewaySettings } from '../../gateway/app.ts';
import { openPayment } from '../../infra/databases.ts';
import { simulatedGateway } from '../../infra/payment-gateway/simulated.ts';
import { query } from './databases.ts';
import { captureInput, openPayments, type PaymentService } from './payments.ts';
import { sha256 } from './shop.ts';

const TIMEOUT_MS = 1_000;

export type RefundService = PaymentService &
  Readonly<{
    refunds: RefundActivities;
    /** The same steps in front of a gateway that is somewhere else. */
    refundsAt: (gatewayUrl: string) => RefundActivities;
    /** The steps of another process, with connections of its own. */
    another: () => Readonly<{ refunds: RefundActivities; close: () => Promise<void> }>;
    /** An order whose payment of ₩39,000 is captured. @returns its id */
    paidOrder: () => Promise<string>;
    /** All three steps, one after the other. @returns how the gateway answered */
    refundWhole: (input: BeginRefundInput) => Promise<'SUCCEEDED' | 'FAILED'>;
  }>;

/** The payment service with its steps of a refund, on the real gateway. */
export async function openRefunds(settings: Partial<GatewaySettings> = {}): Promise<RefundService> {
  const shop = await openPayments(settings);
  const never = new AbortController().signal;
  const refundsAt = (url: string, payment = shop.payment) =>
    refundActivities({
      payment,
      gateway: simulatedGateway({ url, timeoutMs: TIMEOUT_MS, maxProcessingMs: TIMEOUT_MS }),
      signal: () => never,
    });
  const refunds = refundsAt(shop.gatewayUrl);
  return {
    ...{ ...shop, refunds, refundsAt },
    another: () => {
      const payment = openPayment(shop.databases.urls.payment, { poolSize: 2 });
      return { refunds: refundsAt(shop.gatewayUrl, payment), close: () => payment.$disconnect() };
    },
    paidOrder: async () => {
      const input = captureInput();
      await shop.activities.capturePayment(input);
      return input.orderId;
    },
    refundWhole: async (input) => {
      const { refundId } = await refunds.beginRefund(input);
      const ending = await refunds.refundAtGateway({ refundId });
      await refunds.finishRefund({ refundId, ...ending });
      return ending.status;
    },
  };
}

export type Asked = Readonly<{
  refundId?: string;
  /** Minor units of KRW; null for what the lines cost, or for everything. */
  minor?: number | null;
  currency?: string;
  /** As `readRefundable` of the order service answers them. */
  lines?: BeginRefundInput['lines'];
  requestHash?: string;
  by?: string;
  reason?: string;
}>;

/** Input of `beginRefund`, as the workflow makes it from the request and the order. */
export function refundInput(orderId: string, asked: Asked = {}): BeginRefundInput {
  const { minor = null, currency = 'KRW', lines = [], by = '7', reason = 'damaged' } = asked;
  return {
    refundId: asked.refundId ?? randomUUID(),
    orderId,
    lines,
    request: {
      amount: minor === null ? null : { minor, currency },
      lines: lines.map(({ lineNo, quantity, restock }) => ({ lineNo, quantity, restock })),
      ...{ reason, by, requestHash: asked.requestHash ?? sha256(JSON.stringify([minor, currency, lines])) },
    },
  };
}

/** A line of three pieces at ₩13,000, of which some come back. */
export const returned = (lineNo: number, quantity: number, restock = false): BeginRefundInput['lines'][number] => ({
  ...{ lineNo, quantity, restock },
  ordered: 3,
  valueMinor: 13_000 * quantity,
});

/** The refunds of an order as they are on record, oldest first. */
export async function refundsOf({ adminUrl }: PaymentService, orderId: string) {
  return query(
    adminUrl,
    `select r.id, r.refund_key as key, r.amount::integer as minor, r.currency, r.reason, r.status,
       r.failure_code as failure, r.finished_at is not null as finished,
       (select coalesce(jsonb_agg(jsonb_build_array(line_no, quantity, restock) order by line_no), '[]')
        from refund_lines where refund_id = r.id) as lines
     from refunds r join payments p on p.id = r.payment_id where p.order_id = $1 order by r.requested_at, r.id`,
    [orderId],
  );
}
