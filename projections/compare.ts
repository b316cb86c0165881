import type { Databases, SqlTransaction } from '../infra/databases.ts';
import { expectRow, safeNumber } from '../infra/rows.ts';
import { Prisma } from '../prisma/views/generated/client.ts';
import type { ViewName } from './view.ts';

/** A row that is not the same live and rebuilt: its key, and for `differing` the columns. No values: they may be personal. */
export type RowDifference = Readonly<{
  kind: 'onlyLive' | 'onlyRebuilt' | 'differing';
  key: Readonly<Record<string, string>>;
  columns: readonly string[];
}>;

/** What a table has live and rebuilt, and in how many rows they are not the same. */
export type TableComparison = Readonly<{
  table: string;
  live: number;
  rebuilt: number;
  onlyLive: number;
  onlyRebuilt: number;
  differing: number;
  /** The first of them. */
  samples: readonly RowDifference[];
}>;

export type ViewComparison = Readonly<{
  tables: readonly TableComparison[];
  /** Events that the live view has applied and the rebuilt one has not: it lacks a part of the past. */
  lacking: number;
  /** Events that only the rebuilt view has applied: the live one has not come to them, or has forgotten that it did. */
  ahead: number;
  /** Events that the live view has applied, and forgotten that it did. */
  forgotten: number;
}>;

/** Rows that are not the same live and rebuilt. */
export const differencesOf = ({ tables }: Pick<ViewComparison, 'tables'>): number =>
  tables.reduce((sum, { onlyLive, onlyRebuilt, differing }) => sum + onlyLive + onlyRebuilt + differing, 0);

/** Rows compared in one statement. */
const PAGE = 2_000;
const SAMPLES = 10;
/** Of one look at both views, however large they are; milliseconds. */
const LIMIT_MS = 60 * 60_000;

/**
 * Compares a live view with its twin in the schema `shadow` row by row, both as they were at one instant, whatever is
 * written meanwhile. When a row was written is no difference.
 *
 * @param onRows told after each page how many rows were compared so far
 */
export async function compareView(
  views: Databases['views'],
  view: ViewName,
  onRows: (count: number) => void = () => undefined,
): Promise<ViewComparison> {
  return views.$transaction(
    async (tx) => {
      await takeTime(tx);
      const inbox = await inboxDifference(tx, view);
      const tables: TableComparison[] = [];
      let rows = 0;
      const onPage = (count: number): void => onRows((rows += count));
      for (const table of await tablesOf(tx, view)) tables.push(await compareTable(tx, table, onPage));
      return { tables, ...inbox };
    },
    { isolationLevel: 'RepeatableRead', maxWait: 5_000, timeout: LIMIT_MS },
  );
}

/** For one statement over all rows, milliseconds. */
const STATEMENT_LIMIT_MS = 10 * 60_000;

/** Until the transaction ends it and its statements may take as long as a large view needs. */
export const takeTime = (tx: SqlTransaction): Promise<unknown> => tx.$queryRaw`
  select set_config(name, case name when 'statement_timeout' then ${String(STATEMENT_LIMIT_MS)} else '0' end, true)
  from pg_settings where name in ('statement_timeout', 'transaction_timeout')`; // the second from PostgreSQL 17 on

/** Events that only one of a live view and its twin has applied. */
export async function inboxDifference(
  tx: SqlTransaction,
  view: ViewName,
): Promise<Pick<ViewComparison, 'lacking' | 'ahead' | 'forgotten'>> {
  const inbox = `projection_inbox_${view}`;
  const rows = await tx.$queryRaw<{ lacking: bigint; ahead: bigint; forgotten: bigint }[]>`
    select count(*) filter (where s.event_id is null) as lacking, count(*) filter (where l.event_id is null) as ahead,
      (select forgotten from projection_progress where view = ${view}) as forgotten
    from ${nameOf('public', inbox)} l full join ${nameOf('shadow', inbox)} s using (event_id)`;
  const { lacking, ahead, forgotten } = expectRow(rows);
  return { lacking: safeNumber(lacking), ahead: safeNumber(ahead), forgotten: safeNumber(forgotten) };
}

/** The tables that hold a view; its inbox, which comes last, is none of them. */
async function tablesOf(tx: SqlTransaction, view: ViewName): Promise<string[]> {
  const rows = await tx.$queryRaw<{ names: string[] }[]>`select view_tables(${view}) as names`;
  return expectRow(rows).names.slice(0, -1);
}

type Kind = RowDifference['kind'] | 'same';
type ComparedRow = Readonly<{ key: readonly string[]; kind: Kind; columns: readonly string[] }>;

async function compareTable(
  tx: SqlTransaction,
  table: string,
  onPage: (count: number) => void,
): Promise<TableComparison> {
  const keys = await keysOf(tx, table);
  const counts: Record<Kind, number> = { same: 0, onlyLive: 0, onlyRebuilt: 0, differing: 0 };
  const samples: RowDifference[] = [];
  for (let after: readonly string[] | undefined; ;) {
    const rows: ComparedRow[] = await tx.$queryRaw<ComparedRow[]>(pageOf(table, keys, after));
    for (const { kind, key, columns } of rows) {
      counts[kind] += 1;
      if (kind === 'same' || samples.length >= SAMPLES) continue;
      samples.push({ kind, key: Object.fromEntries(keys.map(({ name }, at) => [name, key[at] ?? ''])), columns });
    }
    onPage(rows.length);
    after = rows.at(-1)?.key;
    if (rows.length < PAGE || after === undefined) break;
  }
  const { same, ...differences } = counts;
  const both = same + counts.differing;
  return { table, live: both + counts.onlyLive, rebuilt: both + counts.onlyRebuilt, ...differences, samples };
}

type KeyColumn = Readonly<{ name: string; type: string }>;

const keysOf = (tx: SqlTransaction, table: string) => tx.$queryRaw<KeyColumn[]>`
  select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type
  from pg_index i, unnest(i.indkey) with ordinality as k (attnum, n), pg_attribute a
  where i.indrelid = format('public.%I', ${table}::text)::regclass and i.indisprimary
    and a.attrelid = i.indrelid and a.attnum = k.attnum
  order by k.n`;

/**
 * The rows of both with the lowest keys after one, in the order of the keys. `limit 1` keeps the planner from hashing the
 * whole table for every page.
 */
function pageOf(table: string, keys: readonly KeyColumn[], after: readonly string[] | undefined): Prisma.Sql {
  const listOf = (alias: string) => Prisma.raw(keys.map(({ name }) => `${alias}."${name}"`).join(', '));
  const values = keys.map(({ type }, at) => Prisma.sql`${after?.[at] ?? ''}::text::${Prisma.raw(type)}`);
  const further = after === undefined ? Prisma.sql`true` : Prisma.sql`(${listOf('t')}) > (${Prisma.join(values)})`;
  const firstOf = (schema: Schema) => Prisma.sql`
    (select ${listOf('t')} from ${nameOf(schema, table)} t where ${further} order by ${listOf('t')} limit ${PAGE})`;
  const rowOf = (schema: Schema) => Prisma.sql`
    (select to_jsonb(t) - 'synced_at' as facts from ${nameOf(schema, table)} t where (${listOf('t')}) = (${listOf('k')}) limit 1)`;
  const key = Prisma.raw(keys.map(({ name }) => `k."${name}"::text`).join(', '));
  return Prisma.sql`
    select array[${key}] as key,
      case when l.facts = s.facts then 'same' when s.facts is null then 'onlyLive' when l.facts is null then 'onlyRebuilt'
        else 'differing' end as kind,
      case when l.facts <> s.facts
        then array(select e.key from jsonb_each(l.facts) e where e.value is distinct from s.facts -> e.key)
        else '{}' end as columns
    from (
      select * from (${firstOf('public')} union ${firstOf('shadow')}) as t order by ${listOf('t')} limit ${PAGE}
    ) as k
    left join lateral ${rowOf('public')} l on true
    left join lateral ${rowOf('shadow')} s on true
    order by ${listOf('k')}`;
}

type Schema = 'public' | 'shadow';

/** Names of ours, from the catalogue of the database: nothing that anybody sends. */
const nameOf = (schema: Schema, table: string): Prisma.Sql => Prisma.raw(`${schema}."${table}"`);
