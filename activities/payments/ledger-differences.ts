import type { SqlTransaction } from '../../infra/databases.ts';
import type { BookedCharge, GatewayLedger } from '../../infra/payment-gateway/ledger.ts';
import { expectRow } from '../../infra/rows.ts';
import type { PaymentDeps } from './contract.ts';

/** Rows of one statement, and orders of one question to the books. */
const BATCH = 500;
/** More than a reconciliation repairs in one run; the next run finds the rest. It bounds the size of the answer. */
const MOST_DIFFERENCES = 1_000;

type Deps = Pick<PaymentDeps, 'payment' | 'signal'> & Readonly<{ ledger: GatewayLedger }>;
type OrderRef = Readonly<{ orderId: string }>;

/**
 * Orders whose payment and whose charge in the provider's books say different things, in both directions, looking at
 * what moved within the last `sinceMs` milliseconds. A step in flight looks like a difference: the caller asks whether
 * somebody is at it.
 *
 * @returns each order once, at most a thousand
 * @throws GatewayOutage when the books cannot be read to the end
 */
export async function ledgerDifferences(deps: Deps, sinceMs: number): Promise<OrderRef[]> {
  const since = await clockMinus(deps.payment, sinceMs);
  const differing = new Set<string>();
  // Only ids are kept, of one window of time.
  const booked = new Set<string>();
  const full = () => differing.size >= MOST_DIFFERENCES;

  const charges = deps.ledger.charges({ since, signal: deps.signal() });
  for await (const batch of batchesOf(charges)) {
    for (const { providerId } of batch) booked.add(providerId);
    for (const orderId of await differingOrders(deps, batch)) differing.add(orderId);
    if (full()) break;
  }
  for (let after = FIRST; after !== null && !full();) {
    const { moved, next } = await movedPayments(deps, since, after);
    const unbooked = moved.filter(({ providerId }) => !booked.has(providerId));
    for (const orderId of await unbookedOrders(deps, unbooked)) differing.add(orderId);
    after = next;
  }
  return [...differing].slice(0, MOST_DIFFERENCES).map((orderId) => ({ orderId }));
}

async function clockMinus(payment: SqlTransaction, ms: number): Promise<Date> {
  const rows = await payment.$queryRaw<{ at: Date }[]>`select now() - ${ms}::float8 * interval '1 millisecond' as at`;
  return expectRow(rows).at;
}

/** Orders of those charges whose payment says something else, or that have none although money moved. */
async function differingOrders({ payment, ledger }: Deps, charges: readonly BookedCharge[]): Promise<string[]> {
  // A charge of another shop on the same account names no order of ours: it could not be repaired here.
  const rows = await payment.$queryRaw<OrderRef[]>`
    select coalesce(p.order_id::text, b."orderId") as "orderId"
    from jsonb_to_recordset(${JSON.stringify(charges)}::jsonb)
      as b("providerId" text, "orderId" text, captured bigint, refunded bigint, currency text)
    left join payments p on p.provider = ${ledger.provider} and p.provider_payment_id = b."providerId"
    where (coalesce(p.captured_amount, 0) <> b.captured or coalesce(p.refunded_amount, 0) <> b.refunded
        or (b.captured > 0 and p.captured_currency::text <> b.currency))
      and coalesce(p.order_id::text, b."orderId") ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'`;
  return rows.map(({ orderId }) => orderId);
}

type MovedPayment = OrderRef & Readonly<{ providerId: string; id: string; at: string }>;
type Position = Readonly<{ at: string; id: string }>;

const FIRST: Position | null = { at: '-infinity', id: '00000000-0000-0000-0000-000000000000' };

async function movedPayments(
  { payment, ledger }: Deps,
  since: Date,
  after: Position,
): Promise<{ moved: MovedPayment[]; next: Position | null }> {
  const moved = await payment.$queryRaw<MovedPayment[]>`
    select order_id::text as "orderId", provider_payment_id as "providerId", id::text, updated_at::text as at
    from payments
    where captured_amount > 0 and updated_at >= ${since} and provider = ${ledger.provider}
      and (updated_at, id) > (${after.at}::timestamptz, ${after.id}::uuid)
    order by updated_at, id
    limit ${BATCH}::int`;
  return { moved, next: moved.length < BATCH ? null : (moved.at(-1) ?? null) };
}

/**
 * Payments that the books did not show. They may only have moved there a moment before the window, or after the books
 * were read: so the books are asked for exactly these orders.
 */
async function unbookedOrders(deps: Deps, payments: readonly MovedPayment[]): Promise<string[]> {
  if (payments.length === 0) return [];
  const orderIds = payments.map(({ orderId }) => orderId);
  const found: BookedCharge[] = [];
  for await (const charge of deps.ledger.charges({ orderIds, signal: deps.signal() })) found.push(charge);
  const known = new Set(found.map(({ providerId }) => providerId));
  const missing = payments.filter(({ providerId }) => !known.has(providerId)).map(({ orderId }) => orderId);
  return [...missing, ...(await differingOrders(deps, found))];
}

async function* batchesOf(charges: AsyncIterable<BookedCharge>): AsyncIterable<BookedCharge[]> {
  let batch: BookedCharge[] = [];
  for await (const charge of charges) {
    batch.push(charge);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
