import { query } from './databases.ts';

/** In how many rows of a database, any column of any table, a text appears. */
export async function rowsWith(adminUrl: string, text: string): Promise<number> {
  const rows = await query<{ rows: number | null }>(
    adminUrl,
    `select sum((xpath('/row/n/text()', query_to_xml(format(
         'select count(*) as n from %I.%I t where strpos(t::text, %L) > 0', schemaname, tablename, $1::text),
       false, true, '')))[1]::text::integer)::integer as rows
     from pg_tables where schemaname = 'public'`,
    [text],
  );
  const found = rows[0]?.rows;
  if (found == null) throw new Error('there is no table to search');
  return found;
}
