import type { SqlTransaction } from '../../infra/databases.ts';
import type { BookedCharge, GatewayLedger } from '../../infra/payment-gateway/ledger.ts';
import { expectRow } from '../../infra/rows.ts';
import type { Page, PageInput, PaymentDeps } from './contract.ts';

/** Rows of one statement, and charges of one question to the books. */
const BATCH = 500;
const BEAT_EVERY_MS = 15_000;
type Deps = Pick<PaymentDeps, 'payment' | 'signal'> &
  Readonly<{
    ledger: GatewayLedger;
    /** Told again and again while the books are read: whoever reads days of them is alive. */
    beat: () => void;
  }>;
type OrderRef = Readonly<{ orderId: string }>;
export type DifferencesInput = PageInput & Readonly<{ sinceMs: number }>;

/**
 * Orders whose payment and whose charge in the provider's books say different things, in both directions, looking at
 * what moved within the last `sinceMs` milliseconds. A step in flight looks like a difference: the caller asks whether
 * somebody is at it. Each page reads the books again, so take one page where one can be enough.
 *
 * @returns each order once, by order id
 * @throws GatewayOutage when the books cannot be read to the end
 */
export async function ledgerDifferences(deps: Deps, page: DifferencesInput): Promise<Page<OrderRef>> {
  // Pages of books in which nothing is ours tell nothing for a while; each call has a time limit of its own.
  const beating = setInterval(deps.beat, BEAT_EVERY_MS);
  try {
    return await compared(deps, page);
  } finally {
    clearInterval(beating);
  }
}

async function compared(deps: Deps, page: DifferencesInput): Promise<Page<OrderRef>> {
  const since = await clockMinus(deps.payment, page.sinceMs);
  const differing = new Set<string>();
  // Only ids are kept, of one window of time.
  const booked = new Set<string>();
  const add = (orderIds: readonly string[]): void => {
    for (const orderId of orderIds) if (page.after === null || orderId > page.after) differing.add(orderId);
  };

  const charges = deps.ledger.charges({ since, say: deps.beat, signal: deps.signal() });
  for await (const batch of batchesOf(charges)) {
    deps.beat();
    for (const { providerId } of batch) booked.add(providerId);
    add(await differingOrders(deps, batch));
  }
  for (let after: Position | null = FIRST; after !== null;) {
    deps.beat();
    const { moved, next }: Moved = await movedPayments(deps, since, after);
    add(
      await unbookedOrders(
        deps,
        moved.filter(({ providerId }) => !booked.has(providerId)),
      ),
    );
    after = next;
  }
  const all = [...differing].sort();
  const orderIds = all.slice(0, page.limit);
  return {
    items: orderIds.map((orderId) => ({ orderId })),
    next: all.length > page.limit ? (orderIds.at(-1) ?? null) : null,
  };
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
type Moved = Readonly<{ moved: readonly MovedPayment[]; next: Position | null }>;

const FIRST: Position = { at: '-infinity', id: '00000000-0000-0000-0000-000000000000' };

async function movedPayments({ payment, ledger }: Deps, since: Date, after: Position): Promise<Moved> {
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
 * were read: so the books are asked for exactly these charges.
 */
async function unbookedOrders(deps: Deps, payments: readonly MovedPayment[]): Promise<string[]> {
  if (payments.length === 0) return [];
  const providerIds = payments.map(({ providerId }) => providerId);
  const found: BookedCharge[] = [];
  const charges = deps.ledger.charges({ providerIds, say: deps.beat, signal: deps.signal() });
  for await (const charge of charges) found.push(charge);
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
