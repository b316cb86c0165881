import type { Money } from '../domain/money.ts';
import type { Databases } from '../infra/databases.ts';
import { safeNumber } from '../infra/rows.ts';
import { Prisma } from '../prisma/gateway/generated/client.ts';
import { endAllDue } from './charges.ts';
import type { LedgerQuery } from './requests.ts';

export type LedgerEntryJson = Readonly<{
  id: string;
  providerId: string;
  orderId: string;
  type: string;
  amount: Money;
  refundKey: string | null;
  /** ISO instant. */
  createdAt: string;
}>;

/** One page. `next` is the cursor of the page after it; null at the end. */
export type LedgerPage = Readonly<{ items: readonly LedgerEntryJson[]; next: string | null }>;

type Row = Readonly<{
  id: bigint;
  providerId: string;
  orderId: string;
  type: string;
  amount: bigint;
  currency: string;
  refundKey: string | null;
  createdAt: Date;
}>;

/** Brings every charge up to date first, so that what has happened by now is in the books. */
export async function readLedger(db: Databases['gateway'], query: LedgerQuery): Promise<LedgerPage> {
  while ((await endAllDue(db)) > 0);
  const rows = query.order === 'charge' ? await entriesByCharge(db, query) : await entriesByCommit(db, query);
  const items = rows.slice(0, query.limit).map(entryOf);
  const last = items.at(-1);
  if (rows.length <= query.limit || last === undefined) return { items, next: null };
  return { items, next: query.order === 'charge' ? `${last.providerId}.${last.id}` : last.id };
}

const columns = Prisma.sql`
  id, charge_id as "providerId", order_id as "orderId", type, amount, currency, refund_key as "refundKey",
  created_at as "createdAt"`;

const entriesByCommit = (db: Databases['gateway'], query: LedgerQuery) => db.$queryRaw<Row[]>`
  select ${columns} from ledger_entries
  where id > ${afterOf(query.cursor).id}::bigint and ${wanted(query)}
  order by id limit ${query.limit + 1}`;

const entriesByCharge = (db: Databases['gateway'], query: LedgerQuery) => db.$queryRaw<Row[]>`
  select ${columns} from ledger_entries
  where (charge_id, id) > (${afterOf(query.cursor).chargeId}, ${afterOf(query.cursor).id}::bigint) and ${wanted(query)}
  order by charge_id, id limit ${query.limit + 1}`;

function wanted({ orderId, providerId, since }: LedgerQuery): Prisma.Sql {
  const ofOrder = orderId === undefined ? Prisma.sql`true` : Prisma.sql`order_id = ${orderId}`;
  const named = providerId === undefined ? ofOrder : Prisma.sql`${ofOrder} and charge_id = ${providerId}`;
  if (since === undefined) return named;
  return Prisma.sql`${named} and charge_id in (
    select charge_id from ledger_entries where created_at >= ${since}::timestamptz)`;
}

/** @returns before the first entry of all for the cursor '0' */
function afterOf(cursor: string): { chargeId: string; id: string } {
  const [first = '', second] = cursor.split('.');
  return second === undefined ? { chargeId: '', id: first } : { chargeId: first, id: second };
}

const entryOf = (row: Row): LedgerEntryJson => ({
  id: String(row.id),
  providerId: row.providerId,
  orderId: row.orderId,
  type: row.type,
  amount: { minor: safeNumber(row.amount), currency: row.currency },
  refundKey: row.refundKey,
  createdAt: row.createdAt.toISOString(),
});
