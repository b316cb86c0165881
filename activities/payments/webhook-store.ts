import type { SqlTransaction } from '../../infra/databases.ts';
import type { ProviderEvent } from '../../infra/payment-gateway/webhook.ts';
import type { Page, PageInput, WebhookOutcome, WebhookRef } from './contract.ts';
import { keyOf, pageOf, readKey } from './pages.ts';

/**
 * Stores a provider's event before it is answered, once per event id (source document 1, step 5). The first one stays,
 * also when the same id comes again with another body: an event only says that its charge changed, and what it is now,
 * the gateway is asked anyway, so no body can say anything that matters more than another.
 */
export async function storeWebhook(payment: SqlTransaction, event: ProviderEvent): Promise<'stored' | 'known'> {
  const { provider, eventId, type, providerPaymentId, fields, bodyHash } = event;
  const stored = await payment.$executeRaw`
    insert into payment_webhooks (provider, event_id, type, provider_payment_id, fields, body_hash)
    values (${provider}, ${eventId}, ${type}, ${providerPaymentId}, ${JSON.stringify(fields)}::jsonb, ${bodyHash})
    on conflict (provider, event_id) do nothing`;
  return stored === 1 ? 'stored' : 'known';
}

type OpenRow = WebhookRef & Readonly<{ at: string }>;

/** Events without an outcome, oldest first. */
export async function openWebhooks(payment: SqlTransaction, { after, limit }: PageInput): Promise<Page<WebhookRef>> {
  const [at, provider, eventId] = readKey(after, ['-infinity', '', '']);
  const rows = await payment.$queryRaw<OpenRow[]>`
    select provider, event_id as "eventId", received_at::text as at
    from payment_webhooks
    where outcome is null and (received_at, provider, event_id) > (${at}::timestamptz, ${provider}, ${eventId})
    order by received_at, provider, event_id
    limit ${limit}::int`;
  return pageOf(
    rows,
    limit,
    ({ provider, eventId }) => ({ provider, eventId }),
    (row) => keyOf(row.at, row.provider, row.eventId),
  );
}

export type StoredWebhook = Readonly<{
  outcome: WebhookOutcome | null;
  /** The order whose charge it is about; null when no payment of ours has that charge. */
  orderId: string | null;
}>;

/** @throws Error when no such event was stored */
export async function findWebhook(payment: SqlTransaction, ref: WebhookRef): Promise<StoredWebhook> {
  const [row] = await payment.$queryRaw<StoredWebhook[]>`
    select w.outcome, p.order_id::text as "orderId"
    from payment_webhooks w
    left join payments p on p.provider = w.provider and p.provider_payment_id = w.provider_payment_id
    where w.provider = ${ref.provider} and w.event_id = ${ref.eventId}`;
  if (row === undefined) throw new Error(`no event ${ref.eventId} of ${ref.provider} was stored`);
  return row;
}

/** Whether the payment of the order was decided after the event came. It stays so, whenever it is asked. */
export async function decidedSince(payment: SqlTransaction, ref: WebhookRef, orderId: string): Promise<boolean> {
  const [row] = await payment.$queryRaw<{ since: boolean }[]>`
    select m.updated_at >= w.received_at as since
    from payment_marks m, payment_webhooks w
    where m.order_id = ${orderId}::uuid and m.decision is not null
      and w.provider = ${ref.provider} and w.event_id = ${ref.eventId}`;
  return row?.since ?? false;
}

/** The event is done; the first outcome stays. */
export const recordOutcome = (payment: SqlTransaction, ref: WebhookRef, outcome: WebhookOutcome) => payment.$executeRaw`
  update payment_webhooks set outcome = ${outcome}, handled_at = now()
  where provider = ${ref.provider} and event_id = ${ref.eventId} and outcome is null`;
