import { type DatabaseName, DATABASES } from '../../infra/config.ts';
import { query } from './databases.ts';

/**
 * Where a text can be read in the databases of a shop: every column of every row of every table, also of those that a
 * rebuild is making, and what the statistics keep of them.
 *
 * @returns `database.table: rows`
 */
export async function tracesOf(adminUrl: (name: DatabaseName) => string, text: string): Promise<string[]> {
  const found = await Promise.all(
    DATABASES.map(async (name) => (await query<{ line: string }>(adminUrl(name), TRACES, [text])).map(lineOf(name))),
  );
  return found.flat().sort();
}

const lineOf =
  (name: DatabaseName) =>
  ({ line }: Readonly<{ line: string }>): string =>
    `${name}.${line}`;

const TRACES = `
  with counted as (
    select relname as name, (xpath('/row/n/text()', query_to_xml(format(
        'select count(*) as n from %I.%I t where strpos(t::text, %L) > 0', nspname, relname, $1::text),
      false, true, '')))[1]::text::integer as rows
    from pg_class c join pg_namespace n on n.oid = relnamespace
    where relkind in ('r', 'm') and nspname !~ '^pg_' and nspname <> 'information_schema'
    union all
    select 'pg_stats of ' || tablename, count(*)::integer from pg_stats s where strpos(s::text, $1::text) > 0 group by 1
  )
  select name || ': ' || rows as line from counted where rows > 0`;
