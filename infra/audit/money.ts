import type { BookedCharge, GatewayLedger } from '../payment-gateway/ledger.ts';
import type { Finding, InvariantId, Look } from './finding.ts';
import { bookedCharges } from './gateway-ledger.ts';
import { orderIdsAmong } from './order-ids.ts';
import type { Snapshot, Snapshots } from './snapshot.ts';

/** What the payment service says about one charge. Amounts are minor units, as text. */
type RecordedPayment = Readonly<{
  orderId: string;
  id: string;
  provider: string;
  /** Null where no provider ever gave one: then there must be no money either. */
  providerId: string | null;
  captured: string;
  refunded: string;
  /** The sum of its refunds that SUCCEEDED. */
  byRefunds: string;
  currency: string;
}>;

type Recorded = Iterable<RecordedPayment> | AsyncIterable<RecordedPayment>;

const PAGE = 2_000;
/** Charges that are held in memory at once. */
const MOST_CHARGES = 200_000;

export type MoneyOptions = Readonly<{
  ledger: GatewayLedger;
  wanted: ReadonlySet<InvariantId>;
  /** Looks only at what these are about; at everything when null. */
  again: readonly Finding[] | null;
  say: (what: string) => void;
}>;

/**
 * Compares the gateway's ledger with the payments (invariant 5) and with the orders (the gateway's half of invariant 4).
 * The provider may tell its charges in any order, so they are read in as many passes over ranges of order ids as it
 * takes to keep memory bounded.
 */
export async function compareMoney(from: Snapshots, look: Look, options: MoneyOptions): Promise<void> {
  const { ledger, again, say, wanted } = options;
  const compare = async (booked: ReadonlyMap<string, BookedCharge>, payments: Recorded) => {
    if (wanted.has(4)) for await (const finding of ordersThatKeepMoney(from.order, booked)) look.add(finding);
    if (!wanted.has(5)) return;
    const count = (rows: number) => look.count(5, rows);
    for await (const finding of chargesThatDiffer(ledger.provider, booked, payments, count)) look.add(finding);
  };
  if (again !== null) {
    const { payments, providerIds } = await aboutMoney(from.payment, again, ledger.provider);
    return compare(await bookedCharges(ledger, { providerIds }), payments);
  }
  for (const range of rangesOf(Math.ceil((await countCharges(from.payment)) / MOST_CHARGES))) {
    const told = (entries: number) => say(`${entries} entries of the gateway's ledger`);
    await compare(await bookedCharges(ledger, { say: told }, range.holds), paymentsBetween(from.payment, range));
  }
}

/**
 * Invariant 5: for every charge, the gateway's ledger and the payments name the same order and the same captured and
 * refunded amounts; no charge is known to one of them alone. What a payment gave back is the sum of its refunds that
 * SUCCEEDED, the one that settled it among them. A payment that captured without an id, or at a provider whose books
 * cannot be read, breaks it: nobody can say whether that money was taken.
 */
async function* chargesThatDiffer(
  ledgerOf: string,
  booked: ReadonlyMap<string, BookedCharge>,
  payments: Recorded,
  count: (rows: number) => void,
): AsyncGenerator<Finding> {
  const unseen = new Map(booked);
  for await (const payment of payments) {
    count(1);
    const { id, orderId, provider, providerId, refunded, byRefunds } = payment;
    const row = { invariant: 5, row: `payment ${id}`, orderId } as const;
    if (refunded !== byRefunds) {
      yield { ...row, is: `refunded ${refunded} in the payment`, shouldBe: `refunded ${byRefunds}, as by its refunds` };
    }
    // Another provider may give the same id to a charge of its own.
    const key = provider === ledgerOf ? providerId : null;
    const charge = key === null ? undefined : unseen.get(key);
    if (key !== null) unseen.delete(key);
    const [is, shouldBe] = [recordedText(payment), bookedText(charge)];
    const otherOrder = charge !== undefined && charge.orderId !== orderId ? ` of order ${charge.orderId}` : '';
    // A charge that took no money is in no ledger.
    if (is === shouldBe && otherOrder === '') continue;
    const where = `at provider ${provider}, ${providerId === null ? 'without its id' : `charge ${providerId}`}`;
    yield { ...row, is: `${is} ${where}`, shouldBe: `${shouldBe}${otherOrder}, as in the gateway's ledger` };
  }
  for (const charge of unseen.values()) {
    count(1);
    const { providerId, orderId } = charge;
    const shouldBe = `${bookedText(charge)}, as in the gateway's ledger`;
    yield {
      invariant: 5,
      row: `charge ${providerId}`,
      orderId,
      is: `no payment of order ${orderId} knows it`,
      shouldBe,
      charges: [providerId],
    };
  }
}

/** Invariant 4, at the gateway: of an order that is closed or that nobody made, no charge keeps any money. */
async function* ordersThatKeepMoney(
  order: Snapshot,
  booked: ReadonlyMap<string, BookedCharge>,
): AsyncGenerator<Finding> {
  const keeping = [...booked.values()].filter(({ captured, refunded }) => captured !== refunded);
  for (let start = 0; start < keeping.length; start += PAGE) {
    const part = keeping.slice(start, start + PAGE);
    const open = await ordersNotClosed(
      order,
      part.map(({ orderId }) => orderId),
    );
    for (const charge of part) {
      const { orderId, providerId, captured, refunded, currency } = charge;
      if (open.has(orderId)) continue;
      const is = `the gateway keeps ${captured - refunded} ${currency} of charge ${providerId}`;
      yield {
        invariant: 4,
        row: `order ${orderId}`,
        orderId,
        is,
        shouldBe: 'nothing kept for an order that is closed or missing',
        charges: [providerId],
      };
    }
  }
}

/** Those of the given orders that exist and were not closed. */
async function ordersNotClosed(order: Snapshot, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await order.query<{ id: string }>(
    `select id::text from orders where id = any($1::uuid[]) and status not in ('FAILED', 'CANCELLED')`,
    [orderIdsAmong(ids)],
  );
  return new Set(rows.map(({ id }) => id));
}

/**
 * What the findings about money are about: the payments of their orders, and every charge that these or the findings
 * name. The books are asked for these charges alone: some providers can only list all of them to find those of an order.
 */
async function aboutMoney(payment: Snapshot, again: readonly Finding[], provider: string) {
  const findings = again.filter(({ invariant }) => invariant === 4 || invariant === 5);
  const orderIds = new Set(findings.flatMap(({ orderId }) => orderId ?? []));
  const payments = await payment.query<RecordedPayment>(
    `select ${RECORDED} from payments where order_id = any($1::uuid[]) and ${MAY_HAVE_CHARGED} order by order_id, id`,
    [orderIdsAmong([...orderIds])],
  );
  const known = payments.filter((one) => one.provider === provider).flatMap(({ providerId }) => providerId ?? []);
  const named = findings.flatMap(({ charges = [] }) => charges);
  return { payments, providerIds: [...new Set([...known, ...named])] };
}

async function* paymentsBetween(payment: Snapshot, { from, to }: Range): AsyncGenerator<RecordedPayment> {
  let after = { orderId: from, id: '00000000-0000-0000-0000-000000000000' };
  for (;;) {
    const rows = await payment.query<RecordedPayment>(
      `select ${RECORDED} from payments
       where (order_id, id) > ($1::uuid, $2::uuid) and ($3::uuid is null or order_id < $3::uuid)
         and ${MAY_HAVE_CHARGED}
       order by order_id, id limit ${PAGE}`,
      [after.orderId, after.id, to],
    );
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    after = last;
  }
}

/** Of any provider: what claims money must be found in a ledger, or be told. */
const MAY_HAVE_CHARGED = '(provider_payment_id is not null or coalesce(captured_amount, 0) > 0)';

const RECORDED = `order_id::text as "orderId", id::text, provider, provider_payment_id as "providerId",
  coalesce(captured_amount, 0)::text as captured, refunded_amount::text as refunded,
  (select coalesce(sum(r.amount), 0) from refunds r where r.payment_id = payments.id and r.status = 'SUCCEEDED')::text
    as "byRefunds",
  coalesce(captured_currency, '')::text as currency`;

async function countCharges(payment: Snapshot): Promise<number> {
  const [row] = await payment.query<{ count: string }>(
    `select count(*)::text as count from payments where ${MAY_HAVE_CHARGED}`,
  );
  return Number(row?.count);
}

/** Order ids from `from` on and below `to`; the last range has no end, and takes ids that are no UUIDs too. */
type Range = Readonly<{ from: string; to: string | null; holds: (orderId: string) => boolean }>;

function rangesOf(wanted: number): Range[] {
  const count = Math.max(wanted, 1);
  const border = (index: number): string =>
    `${Math.floor((index * 2 ** 32) / count)
      .toString(16)
      .padStart(8, '0')}-0000-0000-0000-000000000000`;
  return Array.from({ length: count }, (_, index): Range => {
    const [from, to] = [border(index), index + 1 === count ? null : border(index + 1)];
    const above = (id: string): boolean => index === 0 || id >= from;
    return { from, to, holds: (id) => above(id) && (to === null || id < to) };
  });
}

const moneyText = (captured: string, refunded: string, currency: string): string =>
  captured === '0' && refunded === '0' ? 'nothing captured' : `captured ${captured} ${currency}, refunded ${refunded}`;

const recordedText = ({ captured, refunded, currency }: RecordedPayment): string =>
  moneyText(captured, refunded, currency);

const bookedText = (charge: BookedCharge | undefined): string =>
  charge === undefined
    ? 'nothing captured'
    : moneyText(String(charge.captured), String(charge.refunded), charge.currency);
