import type { SqlTransaction } from '../../infra/databases.ts';
import type { GatewayLedger } from '../../infra/payment-gateway/ledger.ts';
import { withRefusals } from '../refusals.ts';
import type { Page, PageInput, PaymentDeps, PaymentFinders, RefundRef } from './contract.ts';
import { type DifferencesInput, ledgerDifferences } from './ledger-differences.ts';
import { movedPayments } from './moved.ts';
import { keyOf, pageOf, readKey } from './pages.ts';
import { openWebhooks } from './webhook-store.ts';

export type FinderDeps = Pick<PaymentDeps, 'payment' | 'signal'> &
  Readonly<{ ledger: GatewayLedger; beat: () => void }>;

/** What the payment service knows to be unfinished (task queue `payments`, docs/decisions/0021). Reads only. */
export const paymentFinders = (deps: FinderDeps): PaymentFinders =>
  withRefusals({
    findOpenPayments: (page: PageInput): Promise<Page<OrderRef>> => openPayments(deps.payment, page),
    findPendingRefunds: (page: PageInput): Promise<Page<RefundRef & OrderRef>> => pendingRefunds(deps.payment, page),
    findOpenWebhooks: (page: PageInput) => openWebhooks(deps.payment, page),
    findMovedPayments: (page: PageInput & Readonly<{ sinceMs: number }>) => movedPayments(deps.payment, page),
    findLedgerDifferences: (input: DifferencesInput): Promise<Page<OrderRef>> => ledgerDifferences(deps, input),
  });

type OrderRef = Readonly<{ orderId: string }>;
type Row = OrderRef & Readonly<{ id: string; at: string }>;
/** Later than (at, id), in that order. */
type Slice = Readonly<{ at: string; id: string; limit: number }>;

const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/**
 * Three lists, one after the other, each with a partial index of its own, so that a page costs what it holds and not
 * what was ever paid. A page may hold less than its limit, or nothing, before the end: only `next` says where that is.
 */
const LISTS = [undecidedPayments, owedPayments, openSettlements] as const;

async function openPayments(payment: SqlTransaction, { after, limit }: PageInput): Promise<Page<OrderRef>> {
  const [list, at, id] = readKey(after, ['0', '-infinity', FIRST_ID]);
  const index = Number(list);
  const read = LISTS[index];
  if (read === undefined) throw new Error('this is no position in the list of open payments');
  const rows = await read(payment, { at, id, limit });
  const { items, next } = pageOf(rows, limit, orderOf, (row) => keyOf(list, row.at, row.id));
  const another = index + 1 < LISTS.length ? keyOf(String(index + 1), '-infinity', FIRST_ID) : null;
  return { items, next: next ?? another };
}

const orderOf = ({ orderId }: Row): OrderRef => ({ orderId });

async function undecidedPayments(payment: SqlTransaction, { at, id, limit }: Slice): Promise<Row[]> {
  return payment.$queryRaw<Row[]>`
    select order_id::text as "orderId", id::text, created_at::text as at
    from payments
    where status in ('PENDING', 'AWAITING_CONFIRMATION', 'IN_DOUBT')
      and (created_at, id) > (${at}::timestamptz, ${id}::uuid)
    order by created_at, id
    limit ${limit}::int`;
}

/** Money that was taken for an order that is given up, and not given back. */
async function owedPayments(payment: SqlTransaction, { at, id, limit }: Slice): Promise<Row[]> {
  return payment.$queryRaw<Row[]>`
    select order_id::text as "orderId", id::text, updated_at::text as at
    from payments
    where captured_amount > refunded_amount and status in ('FAILED', 'CANCELLED', 'LATE_CAPTURED')
      and (updated_at, id) > (${at}::timestamptz, ${id}::uuid)
    order by updated_at, id
    limit ${limit}::int`;
}

/** A capture that counted, of an order that was cancelled all the same; what is owed otherwise is listed above. */
async function openSettlements(payment: SqlTransaction, { at, id, limit }: Slice): Promise<Row[]> {
  return payment.$queryRaw<Row[]>`
    select p.order_id::text as "orderId", r.id::text, r.requested_at::text as at
    from refunds r join payments p on p.id = r.payment_id
    where r.refund_key like '%:settle-refund' and r.status <> 'SUCCEEDED'
      and p.status not in ('FAILED', 'CANCELLED', 'LATE_CAPTURED')
      and (r.requested_at, r.id) > (${at}::timestamptz, ${id}::uuid)
    order by r.requested_at, r.id
    limit ${limit}::int`;
}

async function pendingRefunds(payment: SqlTransaction, page: PageInput): Promise<Page<RefundRef & OrderRef>> {
  const [at, id] = readKey(page.after, ['-infinity', FIRST_ID]);
  const rows = await payment.$queryRaw<Row[]>`
    select p.order_id::text as "orderId", r.id::text, r.requested_at::text as at
    from refunds r join payments p on p.id = r.payment_id
    where r.status = 'PENDING' and r.refund_key not like '%:settle-refund'
      and (r.requested_at, r.id) > (${at}::timestamptz, ${id}::uuid)
    order by r.requested_at, r.id
    limit ${page.limit}::int`;
  const itemOf = ({ orderId, id: refundId }: Row) => ({ refundId, orderId });
  return pageOf(rows, page.limit, itemOf, (row) => keyOf(row.at, row.id));
}
