import type { Money } from '../domain/money.ts';
import type { Databases } from '../infra/databases.ts';
import { safeNumber } from '../infra/rows.ts';
import { captureAllDue } from './charges.ts';

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

/** One page in the order of commits. `next` is the cursor of the page after it; null at the end. */
export type LedgerPage = Readonly<{ items: readonly LedgerEntryJson[]; next: string | null }>;

export async function readLedger(
  db: Databases['gateway'],
  { orderId, cursor, limit }: Readonly<{ orderId?: string | undefined; cursor: string; limit: number }>,
): Promise<LedgerPage> {
  await db.$transaction((tx) => captureAllDue(tx));
  const rows = await db.ledgerEntry.findMany({
    where: { id: { gt: BigInt(cursor) }, ...(orderId === undefined ? {} : { orderId }) },
    orderBy: { id: 'asc' },
    take: limit + 1,
  });
  const items = rows.slice(0, limit).map((row) => ({
    id: String(row.id),
    providerId: row.chargeId,
    orderId: row.orderId,
    type: row.type,
    amount: { minor: safeNumber(row.amount), currency: row.currency },
    refundKey: row.refundKey,
    createdAt: row.createdAt.toISOString(),
  }));
  return { items, next: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
}
