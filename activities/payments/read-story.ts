import type { Money } from '../../domain/money.ts';
import { type OutboxEntry, readAggregateEvents } from '../../events/read-aggregate.ts';
import type { Databases } from '../../infra/databases.ts';
import { safeNumber } from '../../infra/rows.ts';

/** One moment of a payment, a refund or a webhook. `at`: ISO instant of the payment database. */
export type PaymentMoment = Readonly<{
  at: string;
  paymentId: string;
  what: string;
  method: string;
  amount: Money;
  failureCode: string | null;
  provider: string;
  providerPaymentId: string | null;
}>;
export type RefundMoment = Readonly<{
  at: string;
  refundId: string;
  what: 'REQUESTED' | 'SUCCEEDED' | 'FAILED';
  amount: Money;
  failureCode: string | null;
  reason: string;
  /** False for money that goes back by itself, since its order was given up. */
  asked: boolean;
}>;
export type WebhookMoment = Readonly<{
  at: string;
  provider: string;
  eventId: string;
  type: string;
  outcome: string | null;
  handledAt: string | null;
}>;

export type PaymentStory = Readonly<{
  payments: readonly PaymentMoment[];
  refunds: readonly RefundMoment[];
  webhooks: readonly WebhookMoment[];
  events: readonly OutboxEntry[];
}>;

/** What the payment service knows of an order, at most `limit` of each kind. Webhooks go when upkeep takes them away. */
export async function readPaymentStory(
  payment: Databases['payment'],
  orderId: string,
  limit: number,
): Promise<PaymentStory> {
  const payments = await payment.payment.findMany({
    where: { orderId },
    orderBy: { id: 'asc' },
    take: limit,
    include: { refunds: { orderBy: { requestedAt: 'asc' }, take: limit } },
  });
  const keys = payments.map(({ id }) => ({ id }));
  return {
    payments: payments.flatMap(momentsOf),
    refunds: payments.flatMap(({ refunds }) => refunds.flatMap(refundMomentsOf)),
    webhooks: await readWebhooks(payment, orderId, limit),
    events: await readAggregateEvents(payment, 'payment', keys, limit),
  };
}

type Payment = Awaited<ReturnType<Databases['payment']['payment']['findFirstOrThrow']>>;
type Refund = Awaited<ReturnType<Databases['payment']['refund']['findFirstOrThrow']>>;

/** What its row remembers; every state that it went through is in its events. */
function momentsOf(row: Payment): PaymentMoment[] {
  const { id: paymentId, method, failureCode, provider, providerPaymentId } = row;
  const asked = { minor: safeNumber(row.amount), currency: row.currency };
  const moment = (what: string, at: Date, amount: Money = asked): PaymentMoment => ({
    ...{ at: at.toISOString(), paymentId, what, method, amount, provider, providerPaymentId },
    failureCode: what === 'FAILED' || what === 'CANCELLED' ? failureCode : null,
  });
  const moments = [moment('ASKED', row.createdAt)];
  if (row.inDoubtSince !== null) moments.push(moment('IN_DOUBT', row.inDoubtSince));
  if (row.capturedAt !== null && row.capturedAmount !== null) {
    const captured = { minor: safeNumber(row.capturedAmount), currency: row.capturedCurrency ?? row.currency };
    moments.push(moment('CAPTURED', row.capturedAt, captured));
  }
  if (row.status === 'FAILED' || row.status === 'CANCELLED') moments.push(moment(row.status, row.updatedAt));
  return moments;
}

function refundMomentsOf({ id: refundId, refundKey, reason, ...row }: Refund): RefundMoment[] {
  const amount = { minor: safeNumber(row.amount), currency: row.currency };
  const moment = (what: RefundMoment['what'], at: Date): RefundMoment => ({
    ...{ at: at.toISOString(), refundId, what, amount, reason, asked: refundKey === refundId },
    failureCode: what === 'FAILED' ? row.failureCode : null,
  });
  const requested = moment('REQUESTED', row.requestedAt);
  if (row.finishedAt === null || row.status === 'PENDING') return [requested];
  return [requested, moment(row.status === 'FAILED' ? 'FAILED' : 'SUCCEEDED', row.finishedAt)];
}

type WebhookRow = Omit<WebhookMoment, 'at' | 'handledAt'> & Readonly<{ at: Date; handledAt: Date | null }>;

async function readWebhooks(payment: Databases['payment'], orderId: string, limit: number): Promise<WebhookMoment[]> {
  const rows = await payment.$queryRaw<WebhookRow[]>`
    select w.received_at as at, w.provider, w.event_id as "eventId", w.type, w.outcome, w.handled_at as "handledAt"
    from payments p
    join payment_webhooks w on w.provider = p.provider and w.provider_payment_id = p.provider_payment_id
    where p.order_id = ${orderId}::uuid
    order by w.received_at, w.event_id
    limit ${limit}`;
  return rows.map(({ at, handledAt, ...row }) => ({
    ...row,
    at: at.toISOString(),
    handledAt: handledAt?.toISOString() ?? null,
  }));
}
