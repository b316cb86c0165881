import { rowsOf } from './cursor.ts';
import type { EventService, Snapshot } from './snapshot.ts';

/** The views, by the names that `npm run views:rebuild` takes. */
export const AUDITED_VIEWS = ['users', 'products', 'orders', 'payments', 'sales'] as const;
export type AuditedView = (typeof AUDITED_VIEWS)[number];

/** A part of a row: what its columns say. */
export type Facts = Readonly<Record<string, unknown>>;

/** What rows of a view must be. Both queries answer the columns of the key and those to compare, by the same names. */
export type ViewRule = Readonly<{
  view: AuditedView;
  table: string;
  /** In which order rows come; `"C"` for text. */
  key: Readonly<Record<string, 'uuid' | 'number' | 'text' | 'date'>>;
  /** Without rows that are right although nothing is behind them. */
  is: string;
  /** From `views` for a sum of other rows of the same view. */
  from: EventService | 'views';
  shouldBe: string;
  /** Of the service, the aggregate whose events tell the row; absent for sums. */
  toldBy?: Readonly<{
    aggregate: string;
    /** Only these types, where the view takes no others. */
    types?: readonly string[];
    idOf: (row: Facts) => string;
  }>;
  /** Columns that tell who somebody is: that they differ is said, and not how. */
  personal?: readonly string[];
  /**
   * How a pair of rows is compared that cannot be compared as it is stored: both as their reader sees them. Of a row that
   * has no counterpart only the key is looked at.
   */
  asRead?: (is: Facts, shouldBe: Facts) => Readonly<{ is: Facts; shouldBe: Facts }>;
}>;

/** A row that is not what it must be; one of the two is undefined where there is none. */
export type ViewDifference = Readonly<{ key: readonly string[]; is: Facts | undefined; shouldBe: Facts | undefined }>;

type Row = Readonly<{ key: string[]; row: string }>;

/**
 * Compares a view with its sources in both directions: two sorted streams, read page by page.
 *
 * @param onRow told of every row that was compared
 */
export async function* differencesOf(
  rule: ViewRule,
  views: Snapshot,
  source: Snapshot,
  onRow: () => void,
): AsyncGenerator<ViewDifference> {
  const [are, mustBe] = [
    rowsOf<Row>(views, 'audited_view', inOrder(rule, rule.is)),
    rowsOf<Row>(source, 'audited_source', inOrder(rule, rule.shouldBe)),
  ];
  let [left, right] = [await are.next(), await mustBe.next()];
  while (left.value !== undefined || right.value !== undefined) {
    const order = compareKeys(rule, left.value, right.value);
    const [is, shouldBe] = [order <= 0 ? left.value : undefined, order >= 0 ? right.value : undefined];
    onRow();
    const difference = differenceOf(rule, is, shouldBe);
    if (difference !== undefined) yield { key: (is ?? shouldBe)?.key ?? [], ...difference };
    if (order <= 0) left = await are.next();
    if (order >= 0) right = await mustBe.next();
  }
}

function differenceOf(
  { asRead }: ViewRule,
  is: Row | undefined,
  shouldBe: Row | undefined,
): Omit<ViewDifference, 'key'> | undefined {
  // The text of `jsonb` has one form, so that equal rows are equal texts.
  if (is?.row === shouldBe?.row) return undefined;
  const [left, right] = [factsOf(is), factsOf(shouldBe)];
  if (asRead === undefined || left === undefined || right === undefined) return { is: left, shouldBe: right };
  const read = asRead(left, right);
  return differing(read.is, read.shouldBe).length === 0 ? undefined : read;
}

/** The columns that are not the same. */
export const differing = (is: Facts, shouldBe: Facts): string[] =>
  Object.keys(shouldBe).filter((column) => JSON.stringify(is[column]) !== JSON.stringify(shouldBe[column]));

function inOrder({ key }: ViewRule, select: string): string {
  const names = Object.keys(key);
  const order = names.map((name) => (key[name] === 'text' ? `t."${name}" collate "C"` : `t."${name}"`));
  const texts = names.map((name) => `t."${name}"::text`);
  return `select array[${texts.join(', ')}] as key, to_jsonb(t)::text as row from (${select}) as t
    order by ${order.join(', ')}`;
}

/** Less than 0: the left one has no counterpart. Dates and lower-case UUIDs sort as text as they sort in the database. */
function compareKeys({ key }: ViewRule, left: Row | undefined, right: Row | undefined): number {
  if (left === undefined || right === undefined) return left === undefined ? 1 : -1;
  for (const [at, kind] of Object.values(key).entries()) {
    const order = (kind === 'number' ? compareNumbers : compareTexts)(left.key[at] ?? '', right.key[at] ?? '');
    if (order !== 0) return order;
  }
  return 0;
}

function compareNumbers(a: string, b: string): number {
  const [x, y] = [BigInt(a), BigInt(b)];
  return x < y ? -1 : Number(x > y);
}

/** By their bytes, as PostgreSQL's `"C"`. */
const compareTexts = (a: string, b: string): number => (a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b)));

const factsOf = (row: Row | undefined): Facts | undefined =>
  row === undefined ? undefined : (JSON.parse(row.row) as Facts);
